"""What sweep.py is told becomes a plan, or one message before anything heavy is imported."""

from __future__ import annotations

import re

import pytest
from conftest import compose, names
from given_plan import TINY, plan

from lightloom.core.errors import UserError
from lightloom.sweeps import space
from lightloom.sweeps.plan import read


@pytest.fixture
def of_yaml(tmp_path):
    """The plan for a file of configs/sweep with this text."""

    def make(text: str, *arguments: str):
        (tmp_path / "configs/sweep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs/sweep/own.yaml").write_text(f"# Own.\ndefaults: [default, _self_]\n{text}")
        return plan(tmp_path, "sweep=own", *arguments)

    return make


def test_the_command_line_goes_before_the_file(of_yaml):
    text = "overrides: [model=mlp, seed=3, trainer.max_epochs=2]\nspace: {optimizer: {choices: [sgd, nag]}}"
    found = of_yaml(text, "model=lenet", "data.batch_size=8,16")
    kept = [o for o in found.overrides if not o.startswith("paths.")]
    assert kept == ["model=lenet", "seed=3", "trainer.max_epochs=2"]
    assert [p.key for p in found.parameters] == ["optimizer@model.optimizer", "data.batch_size"]
    assert (found.seed, found.monitor, found.mode) == (3, "val/acc", "max")


def test_an_option_that_is_given_one_value_is_no_longer_searched(of_yaml):
    text = """\
space:
  model.attention: {choices: [none, se, cbam]}
  model.attention_stages: {choices: [[1], [2]], when: {model.attention: [se, cbam]}}
sampler: grid
"""
    found = of_yaml(text, "model=resnet20", "model.attention=cbam")
    assert found.grid() == [{"model.attention": "cbam", "model.attention_stages": s} for s in ([1], [2])]


def test_an_option_of_one_model_counts_beside_that_model_only(of_yaml):
    text = "space: {model: {choices: [mlp, vgg11]}, model.network.depth: {choices: [11, 13], when: {model: [vgg11]}}}"
    found = of_yaml(text, "sweep.sampler=grid")
    assert [len(point) for point in found.grid()] == [1, 2, 2]
    with pytest.raises(UserError, match=r"model.network has no option 'depth'"):
        of_yaml(text.replace("when: {model: [vgg11]}", ""))


def test_each_run_of_a_plan_is_a_command_that_is_accepted(tmp_path):
    found = plan(tmp_path, *TINY, "optimizer=sgd,nag", "model.network.hidden=[8],[9,9]", "sweep.sampler=grid")
    for point in found.grid():
        flag, *options = found.command(point, 7, tmp_path / "it's a run")
        cfg = compose(*options)
        assert flag == f"--config-dir={found.config_dir}"
        assert (cfg.seed, str(cfg.hydra.run.dir)) == (7, str(tmp_path / "it's a run"))
        assert cfg.model.network.hidden == point["model.network.hidden"]


@pytest.mark.parametrize("sweep", [name for name in names("sweep") if name != "default"])
def test_each_sweep_there_is_can_be_planned(sweep):
    found = read([f"sweep={sweep}"])
    for point in (found.grid() or [])[-2:]:
        compose(*found.overrides, *space.lines(point))


def test_the_switchboard_has_each_kind_in_each_place_and_none_once():
    tried = [tuple(str(value) for value in point.values()) for point in read(["sweep=attention"]).grid()]
    assert tried[0] == ("none",)
    assert set(tried[1:]) == {(kind, at) for kind in ("se", "cbam", "eca") for at in ("[3]", "[1, 2, 3]")}
    assert len(tried) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=1,2", "run_name=a"], "run_name=a: each run of a sweep has a folder of its own"),
        (["seed=1,2", "ckpt_path=a.ckpt"], "a sweep starts its runs anew; add weights_only_init=true"),
        (["seed=1,2", "sweep.n_trials=null"], "sampler tpe would never end; set sweep.n_trials=20"),
        (
            ["seed=1,2", "sweep.pruner=median", "logger=null"],
            r"reads metrics.csv, which no logger writes; add logger=csv",
        ),
        (["seed=1,2", "sweep.name=a/b"], "expected a name for a folder"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        read(["model=mlp", *arguments])


def test_a_mistake_is_told_before_torch_or_optuna_are_imported(run_cli):
    done = run_cli("model=mlp,lnet", script="sweep", flags=("-X", "importtime"))
    assert done.returncode == 2
    imported = set(re.findall(r"\|\s*([a-z_]+)$", done.stderr, re.MULTILINE))
    assert "hydra" in imported
    assert not imported & {"torch", "optuna", "numpy", "matplotlib", "pytorch_lightning"}
