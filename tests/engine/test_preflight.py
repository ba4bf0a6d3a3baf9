"""What is looked at before step 1, and that a run is the same bit for bit whether one has looked or not."""

from __future__ import annotations

import copy
import random
import shutil
from argparse import Namespace
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import torch
from interruptions import HERE, WATCHED, diary, differences, saved
from pytorch_lightning import Callback

from lightloom.callbacks.run.nan_guard import NaNGuard
from lightloom.config import compose
from lightloom.core.errors import UserError
from lightloom.engine import preflight, train

Usage = namedtuple("Usage", "total used free")
NARROW = ("model.generator.width=4", "model.discriminator.width=4")
MODELS = {
    "classifier": ("model=lenet", "model.network.norm=batch"),
    "GAN, k = 5": ("model=wgan_gp", "model.n_critic=5", *NARROW),
    "VAE+GAN": ("model=vae_gan", "model.encoder.width=4", "model.decoder.width=4", "model.discriminator.width=4"),
    "VAE, workers": ("model=vae", "data.num_workers=2"),
    "detector": ("model=yolo", "data=digit_scenes", "data.reader.train_size=8", "data.image_size=64"),
}


def built(folder: Path, *options: str) -> tuple[Any, ...]:
    """Configuration, trainer, module and datamodule of a run that is about to begin."""
    options = ("data.batch_size=8", "logger=csv", "trainer=cpu", *options)
    cfg = compose.without_hydra(compose.compose("train", [*options, f"paths.output_dir={folder}"]))
    cfg, datamodule = train.build_data(cfg)
    module = train.build_module(cfg)
    return cfg, train.build_trainer(cfg, module), module, datamodule


def all_state(module: Any, datamodule: Any) -> dict[str, Any]:
    flags = {name: (part.training, part.device) for name, part in module.named_modules() if hasattr(part, "device")}
    position = {k: v for k, v in vars(datamodule).items() if isinstance(v, int | float | str | tuple | list | None)}
    return {
        "weights": copy.deepcopy(dict(module.state_dict())),
        "gradients": [p.grad for p in module.parameters()],
        "modules": flags,
        "trainers": [module._trainer is None, datamodule.trainer is None],
        "data": copy.deepcopy(position),
        "splits": sorted(datamodule.splits),
        "random": [torch.get_rng_state(), torch.from_numpy(np.random.get_state()[1].copy()), random.getstate()],
    }


@pytest.mark.parametrize("name", MODELS)
def test_preflight_leaves_no_trace(tmp_path, name):
    cfg, trainer, module, datamodule = built(tmp_path, *MODELS[name])
    before, callbacks = all_state(module, datamodule), list(trainer.callbacks)
    preflight.preflight(cfg, trainer, module, datamodule)
    assert not differences(before, all_state(module, datamodule))
    assert trainer.callbacks == callbacks
    assert trainer.global_step == 0
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize("name", ["classifier", "GAN, k = 5"])
def test_a_run_is_the_same_with_and_without(tmp_path, name):
    options = ("trainer.max_epochs=2", "trainer.limit_train_batches=6", "test=false", "run_name=run", "trainer=cpu")
    folders = []
    for flag in ("true", "false"):
        commands.run(tmp_path / flag, *MODELS[name], *options, *WATCHED, f"preflight={flag}", env=HERE)
        folders.append(tmp_path / flag / "runs" / "run")
    looked, not_looked = folders
    assert "preflight: checkpoint: written" in (looked / "run.log").read_text()
    assert "preflight: " not in (not_looked / "run.log").read_text()
    assert diary(looked) == diary(not_looked)
    assert not differences(saved(looked), saved(not_looked))
    assert (looked / "metrics.csv").read_text() == (not_looked / "metrics.csv").read_text()


def test_doctor_prints_its_findings_and_trains_nothing(tmp_path):
    text = commands.run(tmp_path, "model=mlp", "doctor=true", "trainer=cpu")
    for check in ("data", "model", "machine", "workers", "training and validation step", "test step", "disk"):
        assert check in text
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("metrics.csv"))


def test_doctor_ends_with_what_must_be_mended(tmp_path):
    command = commands.start(tmp_path, "model=mlp", "doctor=true", "monitor.metric=val/accuracy")
    assert command.wait() == 2
    assert "error: monitor.metric=val/accuracy: training logs no such metric. Did you mean val/acc?" in command.text
    assert "Traceback (most" not in command.text


def test_a_full_disk_is_told_before_training(tmp_path, monkeypatch):
    everything = built(tmp_path, "model=mlp")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 90, 10))
    with pytest.raises(UserError, match=r"0\.0 MB free, but 4 checkpoints take .* MB; free some space"):
        preflight.preflight(*everything)


def test_a_checkpoint_that_could_not_be_loaded_is_told_before_training(tmp_path):
    cfg, trainer, module, datamodule = built(tmp_path, "model=mlp")
    module.hparams["network"] = torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match="cannot be loaded as plain data"):
        preflight.preflight(cfg, trainer, module, datamodule)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_step_that_fails_is_one_finding(tmp_path, monkeypatch):
    cfg = built(tmp_path, "model=mlp")[0]

    def broken(*args: Any) -> None:
        raise RuntimeError("mat1 and mat2\nshapes cannot be multiplied")

    monkeypatch.setattr("lightloom.modules.classifier.Classifier.validation_step", broken)
    with pytest.raises(UserError, match="RuntimeError: mat1 and mat2 shapes cannot be multiplied"):
        preflight.examine(cfg)


@pytest.mark.parametrize(
    ("workers", "processes", "says"), [(3, 1, "=2"), (2, 2, "for each of 2 processes"), (2, 1, "")]
)
def test_workers_within_the_cores(tmp_path, monkeypatch, workers, processes, says):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    trainer = ("trainer=ddp_cpu", "trainer.devices=2") if processes == 2 else ("trainer=cpu",)
    cfg, made, *_ = built(tmp_path, "model=mlp", f"data.num_workers={workers}", *trainer)
    assert says in (preflight.too_many_workers(cfg, made) or "")
    assert bool(says) == (preflight.too_many_workers(cfg, made) is not None)


class LogsOwn(Callback):
    """Somebody's callback, which does not say what it logs."""

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        module.log("val/own", 1.0)


@pytest.mark.parametrize(("callbacks", "refused"), [([], True), ([NaNGuard()], True), ([LogsOwn()], False)])
def test_a_callback_that_does_not_say_what_it_logs_may_log_what_is_monitored(callbacks, refused):
    module = Namespace(logged=["val/acc"], better={"acc": "max"})
    node = {"metric": "val/own", "mode": "max"}
    with pytest.raises(UserError, match="val/own") if refused else nullcontext():
        train.check_monitors(node, "monitor", [module, *callbacks])
    with pytest.raises(UserError, match="would prefer the worst"):
        train.check_monitors({"metric": "val/acc", "mode": "min"}, "monitor", [module, *callbacks])
