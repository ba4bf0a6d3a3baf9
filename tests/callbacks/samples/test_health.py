"""The warnings come when they should, once, and a resumed run has the same health."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.samples.health import DIVERSITY, Health, alike, curves, diversity
from lightloom.ops.rng import latents


class MeansCallback(pl.Callback):
    """Logs after the other callbacks' turn at an epoch's end, as the adversarial modules do."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        module.log_means()


class Scripted(pl.LightningModule):
    """A generator whose spread and gradient norm are given for each epoch. Data are N(1/2, 1/8)."""

    latent_dim = 4

    def __init__(self, spreads: list[float], norms: list[float], by_callback: bool = True) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.spreads, self.norms, self.by_callback = spreads, norms, by_callback

    def decode(self, z: Tensor) -> Tensor:
        return (z / 8 * self.spreads[self.current_epoch] + 0.5).view(-1, 1, 2, 2)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight * 0

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        pass

    def log_means(self) -> None:
        epoch = float(self.current_epoch)
        means = {"generator_grad_norm": self.norms[self.current_epoch], "generator_loss": epoch, "d_real": -epoch}
        self.log_dict({f"train/{name}": value for name, value in means.items()})

    def configure_callbacks(self) -> list[pl.Callback]:
        return [MeansCallback()] if self.by_callback else []

    def on_train_epoch_end(self) -> None:
        if not self.by_callback:
            self.log_means()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def data() -> DataLoader:
    images = (latents(1, 96, 4) / 8 + 0.5).view(3, 32, 1, 2, 2)
    return DataLoader([(batch,) for batch in images], batch_size=None)


def fit(folder: Path, module: Scripted, epochs: int, resume: bool = False, **options) -> tuple[Health, pl.Trainer]:
    health = Health(str(folder))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    keepers = [RunCheckpoint(str(folder), DIVERSITY, "max")] if options.pop("keep", resume) else []
    options = {"max_epochs": epochs, "enable_checkpointing": bool(keepers), **quiet, **options}
    trainer = pl.Trainer(callbacks=[health, *keepers], **options)
    trainer.fit(module, data(), data(), ckpt_path=folder / "last.ckpt" if resume else None, weights_only=True)
    return health, trainer


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "lightloom" and r.levelno == logging.WARNING]


# --- diversity


def test_diversity_is_the_mean_distance():
    one_hot = torch.eye(12).view(12, 3, 2, 2)
    assert diversity(one_hot) == pytest.approx(math.sqrt(2), rel=1e-5)
    x = latents(0, 9, 12).view(9, 3, 2, 2)
    slow = [float((x[i] - x[j]).norm()) for i in range(9) for j in range(i)]
    assert diversity(x) == pytest.approx(sum(slow) / len(slow), rel=1e-5)
    assert diversity(x * 3 + 1) == pytest.approx(3 * diversity(x), rel=1e-5)
    assert diversity(x[:1]) == diversity(x[:1].expand(5, -1, -1, -1)) == 0


def test_a_few_outliers_do_not_hide_that_the_others_are_alike():
    """62 of 64 alike and two far away differ as much in the mean as a sixth of them would that differ."""
    images = torch.zeros(64, 1, 2, 2)
    images[62:] = torch.tensor([10.0, -10.0]).view(2, 1, 1, 1)
    assert diversity(images) > 1
    assert alike(images, 0.3) == 62
    assert alike(torch.arange(8.0).view(8, 1, 1, 1), 1.0) == 3


def test_ratio_is_that_of_the_spreads(tmp_path):
    health, trainer = fit(tmp_path, Scripted([1.0, 0.5], [1.0, 1.0]), 2)
    ratios = health.history[DIVERSITY]
    assert ratios[1] == pytest.approx(1, abs=0.15)
    assert ratios[2] == pytest.approx(ratios[1] / 2, rel=1e-4)
    assert float(trainer.callback_metrics[DIVERSITY]) == pytest.approx(ratios[2])
    assert health.logged == [DIVERSITY]


def test_images_that_are_all_alike_say_nothing(tmp_path, caplog):
    module, flat = Scripted([1.0], [1.0]), DataLoader([(torch.zeros(8, 1, 2, 2),)], batch_size=None)
    health = Health(str(tmp_path))
    trainer = pl.Trainer(callbacks=[health], max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.fit(module, flat, flat)
    assert DIVERSITY not in health.history
    assert warned(caplog) == []


# --- warnings


@pytest.mark.parametrize(
    ("spreads", "epochs"),
    [
        ([1.0, 0.5, 2.0, 0.6, 1.0], []),
        ([0.0] * 5, [2]),  # an untrained network's samples are alike without a fault
        ([1.0, 0.05, 0.0, 0.0, 0.04], [2]),
        ([1.0, 0.05, 1.0, 0.05, 0.05], [2, 4]),
    ],
)
def test_a_collapse_is_told_once_until_it_heals(tmp_path, caplog, spreads, epochs):
    fit(tmp_path, Scripted(spreads, [1.0] * 5), 5)
    assert len(warned(caplog)) == len(epochs)
    for message, epoch in zip(warned(caplog), epochs, strict=True):
        assert f" of 64 samples of epoch {epoch} are nearly alike" in message
        assert "\n" not in message


class Outliers(Scripted):
    """From the second epoch on all samples are equal but two, which are as far apart as all of them were."""

    def decode(self, z: Tensor) -> Tensor:
        images = super().decode(z)
        if self.current_epoch:
            images[2:], images[0], images[1] = 0.5, 6.0, -5.0
        return images


def test_equal_samples_but_a_few_are_told_although_the_mean_distance_is_that_of_the_data(tmp_path, caplog):
    health, _ = fit(tmp_path, Outliers([1.0, 1.0], [1.0, 1.0]), 2)
    assert health.history[DIVERSITY][2] > 1
    (message,) = warned(caplog)
    assert message.startswith("62 of 64 samples of epoch 2 are nearly alike")
    assert "the generator has collapsed" in message


@pytest.mark.parametrize("by_callback", [True, False])
@pytest.mark.parametrize(
    ("norms", "epochs"),
    [
        ([1.0, 0.1, 0.01, 3.0, 0.01], []),
        ([1e-6, 1e-7, 1e-6, 1e-7, 1e-6], []),
        ([1.0, 0.5, 1e-4, 1e-5, 0.0], [3]),
        ([1.0, 0.0, 1.0, 0.0, 1e-4], [2, 4]),
        ([0.1, 5e-4, 100.0, 0.05, 0.05], [4]),  # the largest so far, not of all
    ],
)
def test_a_vanished_gradient_is_told_once_until_it_heals(tmp_path, caplog, norms, epochs, by_callback):
    fit(tmp_path, Scripted([1.0] * 5, norms, by_callback), 5)
    assert len(warned(caplog)) == len(epochs)
    for message, epoch in zip(warned(caplog), epochs, strict=True):
        assert message.startswith("The generator no longer learns: train/generator_grad_norm is ")
        assert f"in epoch {epoch} " in message


# --- the state and its picture


@pytest.mark.parametrize(("stop", "by_callback"), [(1, True), (2, False), (4, True)])
def test_resumed_health_is_the_uninterrupted_one(tmp_path, caplog, stop, by_callback):
    script = [1.0, 0.05, 0.05, 1.0, 0.05], [1.0, 1e-4, 1e-4, 1.0, 1e-4], by_callback
    whole, _ = fit(tmp_path / "whole", Scripted(*script), 5, keep=True)
    said = warned(caplog)
    caplog.clear()
    fit(tmp_path / "parts", Scripted(*script), stop, keep=True)
    parts, _ = fit(tmp_path / "parts", Scripted(*script), 5, resume=True)
    assert parts.state_dict() == whole.state_dict()
    assert warned(caplog) == said
    assert sorted(whole.history) == ["train/d_real", "train/generator_grad_norm", "train/generator_loss", DIVERSITY]
    assert {tuple(curve) for curve in whole.history.values()} == {(1, 2, 3, 4, 5)}


def test_curves_are_the_history():
    history = {
        "train/discriminator_loss": {1: 0.5, 2: 0.25},
        "train/generator_loss": {1: 2.0, 2: 1.0},
        "train/d_real": {1: 0.9, 2: 0.8},
        "train/d_fake": {1: 0.1, 2: 0.2},
        "train/generator_grad_norm": {1: 3.0, 2: 0.0},
        DIVERSITY: {2: 0.7},
    }
    panels = curves(history).axes
    drawn = {line.get_label(): dict(zip(*line.get_data(), strict=True)) for axes in panels for line in axes.lines}
    assert {name: curve for name, curve in drawn.items() if not name.startswith("_")} == {
        name.partition("/")[2]: curve for name, curve in history.items()
    }
    assert len(panels) == 4


def test_picture_is_written_once_there_is_something_to_show(tmp_path):
    fit(tmp_path, Scripted([1.0] * 2, [1.0] * 2), 2)
    assert (tmp_path / "health.png").stat().st_size > 1000
    fit(tmp_path / "dry", Scripted([1.0], [1.0]), 1, fast_dev_run=True)
    assert not (tmp_path / "dry").exists()
