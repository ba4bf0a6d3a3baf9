"""Somebody's LightningModule and LightningDataModule train, are tested and go on, as they are."""

from __future__ import annotations

import json
from pathlib import Path

import commands
import pytest
import torch

ONE_EPOCH = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=3")

CONFIGS = {
    "data/their_digits": """
_target_: their_parts.TheirDigits
folder: {tmp}/digits
batch_size: 32
name: their digits
kind: image
num_classes: 10
classes: null
channels: 1
image_size: 28
mean: [0.3]
std: [0.3]
""",
    "model/their_classifier": """
_target_: their_parts.TheirClassifier
net: {{_target_: their_parts.DenseNet, hidden: 8}}
optimizer: {{_target_: torch.optim.Adam, _partial_: true, lr: 0.001}}
scheduler: {{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, _partial_: true, mode: min, patience: 1}}
compile: false
""",
    "model/keeps_its_parts": """
_target_: their_parts.KeepsItsParts
net: {{_target_: their_parts.DenseNet}}
optimizer: {{_target_: torch.optim.Adam, _partial_: true, lr: 0.001}}
""",
    "model/lit_autoencoder": "_target_: their_parts.LitAutoEncoder\n",
    "model/lit_classifier": """
defaults:
  - /task@_global_: classification
  - _self_
_target_: their_parts.LitClassifier
lr: 0.01
""",
}


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> str:
    """The option that finds the YAML files of their parts."""
    root = tmp_path_factory.mktemp("configs")
    for name, text in CONFIGS.items():
        path = root / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(tmp=root))
    return f"--config-dir={root}"


def results(logs: Path) -> dict[str, float]:
    return json.loads((commands.runs(logs)[-1] / "results.json").read_text())


def refused(logs: Path, *arguments: str) -> str:
    command = commands.start(logs, *arguments)
    assert command.wait() == 2, command.text
    assert "Traceback (most" not in command.text
    return command.text


def test_their_data_under_our_model(configs, tmp_path):
    told = commands.run(tmp_path, configs, "model=mlp", "data=their_digits", *ONE_EPOCH)
    assert "TheirDigits is a plain LightningDataModule" in told
    assert "test/acc" in results(tmp_path)
    assert Path(configs.partition("=")[2], "digits", "prepared.txt").read_text() == "once\n"
    told = commands.run(tmp_path, configs, "ckpt_path=last", "trainer.max_epochs=2")
    assert "Continuing with epoch 2: their digits has no resume_at" in told
    assert results(tmp_path)["epochs"] == 2


@pytest.mark.parametrize("data", ["digits", "their_digits"])
def test_their_module_trains_is_tested_and_goes_on(configs, tmp_path, data):
    commands.run(tmp_path, configs, "model=their_classifier", f"data={data}", *ONE_EPOCH)
    assert {"best val/loss", "test/acc", "test/loss"} <= results(tmp_path).keys()
    file = commands.runs(tmp_path)[0] / "checkpoints/last.ckpt"
    content = torch.load(file, weights_only=True)
    assert content["hyper_parameters"] == {"compile": False}  # its own, beside the run's
    assert content["lightloom"]["config"]["model"]["net"]["hidden"] == 8
    commands.run(tmp_path, configs, "ckpt_path=last", "trainer.max_epochs=2")
    assert results(tmp_path)["epochs"] == 2


def test_their_checkpoint_is_built_where_its_package_is_trusted(configs, tmp_path):
    commands.run(tmp_path, configs, "model=their_classifier", *ONE_EPOCH)
    run = commands.runs(tmp_path)[0]
    command = commands.start(tmp_path, f"ckpt_path={run}", "trainer=cpu", script="eval")
    assert command.wait() == 2
    assert "say trust=[their_parts]" in command.text
    commands.run(tmp_path, f"ckpt_path={run}", "trust=[their_parts]", "trainer=cpu", script="eval")
    again = json.loads(next((tmp_path / "eval").glob("*/results.json")).read_text())
    assert again["test/loss"] == pytest.approx(results(tmp_path)["test/loss"], abs=1e-6)


def test_hyperparameters_that_are_no_plain_data_are_named(configs, tmp_path):
    told = refused(tmp_path, configs, "model=keeps_its_parts", *ONE_EPOCH)
    assert "save_hyperparameters(ignore=['net', 'optimizer'])" in told


def test_a_monitor_that_no_step_logs_is_refused(configs, tmp_path):
    told = refused(tmp_path, configs, "model=lit_autoencoder", *ONE_EPOCH)
    assert "monitor.metric=val/loss" in told
    assert "they log train_loss" in told
    commands.run(tmp_path, configs, "model=lit_autoencoder", "monitor.metric=train_loss", *ONE_EPOCH)
    assert "best train_loss" in results(tmp_path)
    told = refused(tmp_path, configs, "model=their_classifier", "monitor.metric=val/los", *ONE_EPOCH)
    assert "Did you mean val/loss?" in told


def test_pictures_that_a_module_offers_nothing_for_are_left_out(configs, tmp_path):
    told = commands.run(tmp_path, configs, "model=lit_classifier", *ONE_EPOCH)
    assert told.count("misclassified.png is left out") == 1
    assert told.count("confusion_matrix.png is left out") == 1
    assert "test/loss" in results(tmp_path)


def test_a_misspelt_option_of_their_data_is_no_fact(configs, tmp_path):
    assert "data.batch_sise" in refused(tmp_path, configs, "model=mlp", "data=their_digits", "+data.batch_sise=3")
