"""Data of a kind that is in no shared code: trained, continued bit for bit, tested, and refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import commands
import pytest
import pytorch_lightning as pl
import torch
from their_text import NextCharacter, Text
from torch import nn

import lightloom
from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.run.rng import KeyedRandomness
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint
from lightloom.engine.checkpoint import RunRecord, SafeCheckpointIO

CONFIGS = {
    "data/fox": """
_target_: their_text.Text
name: fox
kind: text
vocab_size: null
length: 9
batch_size: 16
eval_batch_size: 16
seed: ${seed}
""",
    "data/wolf": """
defaults: [fox, _self_]
name: wolf
text: "a wolf that howls at the moon, and another one that does not. "
length: 4
batch_size: 2
""",
    "model/next_character": """
_target_: their_text.NextCharacter
vocab_size: ${data.vocab_size}
embedding:
  _target_: torch.nn.Embedding
  num_embeddings: ${model.vocab_size}
  embedding_dim: 4
""",
}
QUICK = ("model=next_character", "data=fox", "trainer=cpu", "trainer.max_epochs=1", "run_name=text")


class KeepAll(RunCheckpoint):
    """Keeps a copy of every checkpoint."""

    state_key = "RunCheckpoint"

    def _save(self, trainer: pl.Trainer, path: Path) -> None:
        super()._save(trainer, path)
        shutil.copy(path, self.folder / f"at-{trainer.global_step:03d}-{path.name}")


def fit(folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint) -> dict:
    """The weights after two epochs of 45 steps, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = Text("fox", "text", seed=3)
    module = NextCharacter(data.facts()["vocab_size"], nn.Embedding(30, 4))
    callbacks = [KeyedRandomness(0), keeper(str(folder), "val/loss", "min", every_n_steps=11)]
    plugins = [SafeCheckpointIO(RunRecord({"model": {}, "data": {"name": "fox"}}, data.state()))]
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=2, callbacks=callbacks, use_distributed_sampler=False, plugins=plugins, **quiet)
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return module.state_dict()


def test_its_resume_is_bit_for_bit(tmp_path):
    whole = fit(tmp_path / "whole", keeper=KeepAll)
    kept = sorted((tmp_path / "whole").glob("at-*-last.ckpt"))
    assert len(kept) > 6
    for file in kept[1:-1:3]:
        again = fit(tmp_path / file.stem, file)
        assert all(torch.equal(whole[name], again[name]) for name in whole), file.name


def test_what_is_too_big_for_the_configuration_travels_in_the_checkpoint(tmp_path):
    fit(tmp_path)
    content = checkpoint.load(tmp_path / "last.ckpt")
    assert content["data_state"] == {"vocabulary": Text("fox", "text").vocabulary}
    assert content["config"] == {"model": {}, "data": {"name": "fox"}}


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> str:
    root = tmp_path_factory.mktemp("configs")
    for name, text in CONFIGS.items():
        path = root / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return f"--config-dir={root}"


@pytest.fixture(scope="module")
def trained(configs, tmp_path_factory) -> Path:
    logs = tmp_path_factory.mktemp("logs")
    told = commands.run(logs, configs, *QUICK)
    assert "Traceback" not in told
    return logs / "runs/text"


def test_it_trains_and_is_recorded_by_no_more_than_two_files(trained):
    found = json.loads((trained / "results.json").read_text())
    assert {"best val/loss", "test/loss"} <= found.keys()
    splits = json.loads((trained / "run.json").read_text())["starts"][0]["data"]["splits"]
    assert splits["train"] == Text("fox", "text").describe("train")
    config = (trained / "config.yaml").read_text()
    assert "vocabulary:" not in config
    assert "state_sha256:" in config
    assert "run.json could not be written" not in (trained / "run.log").read_text()


def test_it_is_tested_on_its_own_and_on_no_other_data(trained, configs, tmp_path):
    ckpt = (configs, f"ckpt_path={trained}", "trust=[their_text]", "trainer=cpu")
    commands.run(tmp_path, *ckpt, script="eval")
    again = json.loads((next((tmp_path / "eval").iterdir()) / "results.json").read_text())
    expected = json.loads((trained / "results.json").read_text())
    assert again["test/loss"] == pytest.approx(expected["test/loss"], abs=1e-6)
    for data, says in (("wolf", "has vocab_size"), ("digits", "has kind image")):
        command = commands.start(tmp_path, *ckpt, f"data={data}", script="eval")
        assert command.wait() == 2
        assert says in command.text
        assert "Traceback (most" not in command.text


def test_a_signal_model_refuses_images_in_one_sentence(tmp_path):
    small = ("data.train_size=64", "data.val_size=8", "data.test_size=8")
    commands.run(tmp_path, "model=signal_ae", "data=signals", *small, "trainer=cpu", "trainer.max_epochs=1")
    run = commands.runs(tmp_path)[0]
    command = commands.start(tmp_path, f"ckpt_path={run}", "data=digits", "trainer=cpu", script="eval")
    assert command.wait() == 2
    assert "data=digits has kind image, but the checkpoint was trained on signals with kind signal" in command.text


def test_another_text_in_the_same_run_is_refused(trained, configs, tmp_path):
    logs = tmp_path / "logs"
    shutil.copytree(trained.parents[1], logs)
    changed = "data.text='" + "abc " * 200 + "'"
    command = commands.start(logs, configs, *QUICK, "trainer.max_epochs=2", f"+{changed}")
    assert command.wait() == 2
    assert "state_sha256" in command.text


def test_data_that_changed_on_the_disk_is_refused(trained, configs, tmp_path):
    logs = tmp_path / "logs"
    shutil.copytree(trained.parents[1], logs)
    last = logs / "runs/text/checkpoints/last.ckpt"
    saved = torch.load(last, weights_only=True)
    saved["lightloom"]["splits"]["train"]["sha256"] = "0" * 64
    last.unlink()  # it may be another name of best.ckpt
    torch.save(saved, last)
    command = commands.start(logs, configs, *QUICK, "trainer.max_epochs=2")
    assert command.wait() == 2
    assert "the data is not what the run was trained on (train: " in command.text


def test_a_run_is_loaded_whole(trained):
    with pytest.raises(UserError, match="trust"):
        lightloom.load(trained)
    run = lightloom.load_run(trained, trust=["their_text"])
    assert run.state["vocabulary"] == run.datamodule.vocabulary
    assert run.config.model.vocab_size == len(run.state["vocabulary"])
    batch = next(iter(run.datamodule.eval_loader("test")))
    assert torch.isfinite(run.module.loss(batch))
