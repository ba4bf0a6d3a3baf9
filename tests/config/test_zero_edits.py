"""Components of somebody's own, without an edit of the package: options with ranges, a metric with a direction."""

import sys
import textwrap
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightloom.cli.launch import prepared
from lightloom.core.errors import UserError

CODE = '''
from typing import Annotated, Literal

import pytorch_lightning as pl
from annotated_types import Ge, Gt, Lt
from torch import nn

Kernel = Annotated[int, Ge(1), Lt(10)]


class Net(nn.Module):
    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: int,
        kernel_size: Kernel = 3,
        pool: Literal["max", "mean"] = "max",
    ) -> None:
        super().__init__()
        pooling = nn.AdaptiveMaxPool2d(1) if pool == "max" else nn.AdaptiveAvgPool2d(1)
        convolution = nn.Conv2d(in_channels, 4, kernel_size)
        self.layers = nn.Sequential(convolution, pooling, nn.Flatten(), nn.Linear(4, num_classes))

    def forward(self, x):
        return self.layers(x)


class Spread(pl.Callback):
    """A metric: how far the logits of a validation batch are apart, which is better small."""

    logged = ("val/spread",)
    better = {"spread": "min"}

    def __init__(self, share: Annotated[float, Gt(0), Lt(1)] = 0.5) -> None:
        self.share = share

    def on_validation_epoch_end(self, trainer, module) -> None:
        module.log("val/spread", self.share)


class Notes(pl.Callback):
    """Shows things only."""

    only_shows = True

    def __init__(self, every: Annotated[int, Ge(1)] = 1) -> None:
        self.every = every
'''
MODEL = """\
# Somebody's own network.
defaults:
  - base/classifier
  - _self_
network:
  _target_: newcomer.Net
  kernel_size: 3
"""
CALLBACKS = """\
# The defaults and somebody's own.
defaults:
  - default
spread:
  _target_: newcomer.Spread
notes:
  _target_: newcomer.Notes
  every: 2
"""
LINE = ("model=mine", "callbacks=mine")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A module of somebody's own, and a folder for --config-dir."""
    where = tmp_path_factory.mktemp("newcomer")
    for name, text in {"newcomer.py": CODE, "model/mine.yaml": MODEL, "callbacks/mine.yaml": CALLBACKS}.items():
        (where / name).parent.mkdir(exist_ok=True)
        (where / name).write_text(textwrap.dedent(text))
    return where


@pytest.fixture
def own(folder, monkeypatch) -> Path:
    monkeypatch.syspath_prepend(folder)
    return folder


def refused(own: Path, *options: str) -> str:
    with pytest.raises(UserError) as caught:
        prepared([f"--config-dir={own}", *LINE, *options], "train")
    return str(caught.value)


KERNEL = "expected an integer of at least 1 and below 10."
SHARE = "expected a number between 0 and 1."


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("model.network.kernel_size=abc", f"model.network.kernel_size=abc: {KERNEL}"),
        ("model.network.kernel_size=-3", f"model.network.kernel_size=-3 is out of range; {KERNEL}"),
        ("model.network.kernel_size=null", f"model.network.kernel_size=null: {KERNEL}"),
        ("model.network.pool=men", "model.network.pool=men: expected max, mean. Did you mean mean?"),
        ("callbacks.spread.share=2", f"callbacks.spread.share=2 is out of range; {SHARE}"),
        ("callbacks.notes.every=0", "callbacks.notes.every=0 is out of range; expected an integer of at least 1."),
        ("model.network.kernal_size=3", "no option 'kernal_size'. Did you mean model.network.kernel_size?"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_before_anything_is_imported(own, option, said):
    message = refused(own, option)
    assert said in message
    assert "\n" not in message
    assert "newcomer" not in sys.modules


@pytest.mark.parametrize("group", ["model", "experiment"])
def test_wherever_the_value_comes_from(own, tmp_path, group):
    """The model's own YAML, and an experiment that changes it."""
    (tmp_path / group).mkdir()
    bad = MODEL.replace("kernel_size: 3", "kernel_size: -3")
    chosen = "# @package _global_\n# Bad.\ndefaults:\n  - override /model: mine\n"
    experiment = f"{chosen}model:\n  network:\n    kernel_size: -3\n"
    for name in ("model/mine", "callbacks/mine"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text((own / f"{name}.yaml").read_text())
    (tmp_path / f"{group}/mine.yaml").write_text(bad if group == "model" else experiment)
    line = LINE if group == "model" else ("experiment=mine",)
    with pytest.raises(UserError, match=r"^model\.network\.kernel_size=-3 is out of range"):
        prepared([f"--config-dir={tmp_path}", *line], "train")


def test_numbers_in_text_are_numbers(own):
    from lightloom.config.compose import compose, without_hydra

    cfg = without_hydra(compose("train", [*LINE, "model.network.kernel_size='5'"], str(own)))
    assert cfg.model.network.kernel_size == 5


def test_the_mode_that_would_keep_the_worst_is_refused(own):
    from newcomer import Spread

    from lightloom.engine.train import check_monitors

    check_monitors({"metric": "val/spread", "mode": "min"}, "monitor", [Spread()])
    with pytest.raises(UserError, match=r"monitor\.metric=val/spread with mode max would prefer the worst"):
        check_monitors({"metric": "val/spread", "mode": "max"}, "monitor", [Spread()])
    with pytest.raises(UserError, match=r"Did you mean val/spread\?"):
        check_monitors({"metric": "val/spreat", "mode": "min"}, "monitor", [Spread()])


def test_what_only_shows_may_change_in_a_resumed_run(own):
    from lightloom.config.compose import compose, without_hydra
    from lightloom.engine.resume import check_same

    def config(*options: str):
        return OmegaConf.to_container(without_hydra(compose("train", [*LINE, *options], str(own))))

    check_same(config(), config("callbacks.notes.every=9"), Path("last.ckpt"))
    check_same(config(), config("~callbacks.notes"), Path("last.ckpt"))
    with pytest.raises(UserError, match=r"callbacks\.spread\.share"):
        check_same(config(), config("+callbacks.spread.share=0.1"), Path("last.ckpt"))


def test_they_train_and_resume(folder, run_cli, tmp_path):
    """The whole way: two epochs, the second by a second command with another option of what only shows."""
    options = (f"--config-dir={folder}", *LINE, "run_name=mine", "trainer=cpu", "trainer.limit_train_batches=1")
    options += ("monitor.metric=val/spread", "monitor.mode=min", "test=false")
    env = {"PYTHONPATH": str(folder)}
    first = run_cli(*options, "trainer.max_epochs=1", env=env)
    assert first.returncode == 0, first.stderr
    second = run_cli(*options, "trainer.max_epochs=2", "callbacks.notes.every=5", env=env)
    assert second.returncode == 0, second.stderr
    assert "Resuming from" in second.stdout
    assert "no longer bit for bit" not in second.stdout


DATAMODULE = """
import pytorch_lightning as pl


class Plain(pl.LightningDataModule):
    def __init__(self, folder: str, batch_size: int = 4) -> None:
        super().__init__()
"""
FACTS = """
_target_: somebodys_data.Plain
folder: x
name: plain
kind: image
num_classes: 3
channels: 1
image_size: 28
mean: [0.5]
std: [0.5]
"""


def test_facts_stand_beside_the_options_of_somebodys_datamodule(tmp_path, monkeypatch):
    """As docs/as-a-library.md has it: of a class in one's own files, whose constructor says all that it takes."""
    (tmp_path / "somebodys_data.py").write_text(DATAMODULE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/plain.yaml").write_text(FACTS)
    monkeypatch.syspath_prepend(tmp_path)
    line = (f"--config-dir={tmp_path}", "model=lenet", "data=plain")
    prepared([*line, "data.num_classes=4", "+data.licence=free"], "train")
    with pytest.raises(UserError, match=r"batch_sise'\. Did you mean data\.batch_size\?"):
        prepared([*line, "+data.batch_sise=3"], "train")
    with pytest.raises(UserError, match=r"To state it as a fact of the data, write \+data\.licence=free\.$"):
        prepared([*line, "data.licence=free"], "train")
    (tmp_path / "data/plain.yaml").write_text(FACTS + "foldr: y\n")
    with pytest.raises(UserError, match=r"^data\.foldr: .* has no option 'foldr'\. Did you mean data\.folder\?"):
        prepared(line, "train")
