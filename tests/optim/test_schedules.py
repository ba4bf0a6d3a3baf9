"""Schedules against their closed forms, and the length of a run against a trainer that counts."""

from __future__ import annotations

import math

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.modules.optimization import total_steps
from lightloom.optim import schedules

RATE = 0.4


def rates(schedule, steps: int, optimizer=None, **options) -> list[float]:
    """The rate of each step, and the one after the last."""
    optimizer = optimizer or torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = schedule(optimizer, total_steps=steps, **options)["scheduler"]
    found = []
    for _ in range(steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant():
    assert rates(schedules.constant, 10) == [RATE] * 11


def test_cosine_without_warmup():
    expected = [RATE * (1 + math.cos(math.pi * t / 40)) / 2 for t in range(41)]
    assert rates(schedules.cosine, 40) == pytest.approx(expected, abs=1e-12)


def test_warmup_then_cosine():
    """Start, end of the warm-up, middle and end of the cosine."""
    found = rates(schedules.cosine, 110, warmup=10 / 110, final=0.1)
    assert found[0] == pytest.approx(RATE / 11)
    assert found[:11] == pytest.approx([RATE * (t + 1) / 11 for t in range(11)])
    assert found[10] == max(found) == RATE
    assert found[60] == pytest.approx(RATE * 0.55)
    assert found[110] == pytest.approx(RATE * 0.1)


@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_cosine_of_a_very_short_run_is_finite_and_never_zero(steps, warmup):
    assert all(0 < rate <= RATE for rate in rates(schedules.cosine, steps, warmup=warmup)[:-1])


def test_triangle():
    """The rate of a step is that of two straight lines at the step's middle; the mean rate is the lines' area."""
    found = rates(schedules.triangular, 100, rise=0.2, start=0.5, final=0.1)
    up = [RATE * (0.5 + 0.5 * (t + 0.5) / 20) for t in range(20)]
    down = [RATE * (1 - 0.9 * (t + 0.5 - 20) / 80) for t in range(20, 100)]
    assert found == pytest.approx([*up, *down, RATE * 0.1])
    assert sum(found[:100]) / 100 == pytest.approx(RATE * (0.2 * 0.75 + 0.8 * 0.55))


@pytest.mark.parametrize("rise", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_triangle_of_a_very_short_run_is_finite_and_never_zero(steps, rise):
    assert all(0 < rate <= RATE for rate in rates(schedules.triangular, steps, rise=rise)[:-1])


def test_steps():
    found = rates(schedules.step, 8, milestones=[0.5, 0.75], factor=0.1)
    assert found == pytest.approx([RATE] * 4 + [RATE / 10] * 2 + [RATE / 100] * 3)


def test_one_cycle_rises_to_the_rate_and_falls_to_almost_nothing():
    found = rates(schedules.one_cycle, 100, rise=0.3)
    peak = found.index(max(found))
    assert max(found) == pytest.approx(RATE, rel=1e-3)
    assert 28 <= peak <= 30
    assert found[:peak] == sorted(found[:peak])
    assert found[peak:] == sorted(found[peak:], reverse=True)
    assert found[100] < RATE / 1e4


def parameter() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(1))]


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [
        (torch.optim.SGD(parameter(), lr=RATE), 0.0),
        (torch.optim.SGD(parameter(), lr=RATE, momentum=0.9), 0.85),
        (torch.optim.RMSprop(parameter(), lr=RATE), 0.0),
        (torch.optim.Adagrad(parameter(), lr=RATE), None),
    ],
    ids=["sgd", "momentum", "rmsprop", "adagrad"],
)
def test_one_cycle_gives_momentum_to_no_optimizer_that_has_none(optimizer, momentum):
    found = []
    scheduler = schedules.one_cycle(optimizer, total_steps=100)["scheduler"]
    for _ in range(100):
        found.append(optimizer.param_groups[0].get("momentum"))
        optimizer.step()
        scheduler.step()
    if momentum is None:
        assert set(found) == {None}
    else:
        assert min(found) == pytest.approx(momentum, abs=1e-3)


def test_plateau_counts_epochs_without_improvement():
    """Patience 1: the second epoch in a row that is no better divides the rate."""
    optimizer = torch.optim.SGD(parameter(), lr=RATE)
    config = schedules.plateau(optimizer, 0, monitor="val/acc", mode="max", factor=0.5, patience=1)
    found = []
    for score in (0.5, 0.6, 0.6, 0.6, 0.7, 0.1, 0.1, 0.1, 0.1):
        config["scheduler"].step(score)
        found.append(optimizer.param_groups[0]["lr"] / RATE)
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


class Counting(pl.LightningModule):
    """Reads the length of the run where a module does, when its optimizer is made."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.layer(batch).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.planned = total_steps(self.trainer)
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Numbers(pl.LightningDataModule):
    num_train_batches = 13

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(self.num_train_batches, 1))


@pytest.mark.parametrize("accumulate", [1, 2, 5, 20])
@pytest.mark.parametrize(
    ("limits", "batches"),
    [
        ({}, 13),
        ({"limit_train_batches": 7}, 7),
        ({"limit_train_batches": 99}, 13),
        ({"limit_train_batches": 0.5}, 6),
        ({"max_steps": 4}, 13),
        ({"max_steps": 1000}, 13),
        ({"fast_dev_run": 3}, 3),
        ({"overfit_batches": 3}, 3),
    ],
    ids=str,
)
def test_planned_steps_are_the_steps_taken(tmp_path, limits, batches, accumulate):
    module = Counting()
    trainer = pl.Trainer(
        **{"max_epochs": 2, "accumulate_grad_batches": accumulate, "accelerator": "cpu", **limits},
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, datamodule=Numbers())
    assert module.planned == trainer.global_step
    epochs = 1 if "fast_dev_run" in limits else 2
    assert trainer.global_step == min(limits.get("max_steps", math.inf), epochs * math.ceil(batches / accumulate))


class Flat(pl.LightningModule):
    """Never improves; its plateau schedule halves the rate after each epoch, or each `frequency` epochs."""

    def __init__(self, frequency: int = 1) -> None:
        super().__init__()
        self.layer, self.frequency, self.rates = torch.nn.Linear(1, 1), frequency, []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return 0 * self.layer(batch).sum()

    def on_train_epoch_start(self) -> None:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self) -> None:
        self.log("train/loss", 1.0)

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.SGD(self.parameters(), lr=RATE)
        options = {"monitor": "train/loss", "mode": "min", "factor": 0.5, "patience": 0}
        schedule = schedules.plateau(optimizer, 0, **options)
        return {"optimizer": optimizer, "lr_scheduler": schedule | {"frequency": self.frequency}}


@pytest.mark.parametrize("keepers", [0, 1, 2])
@pytest.mark.parametrize(("frequency", "halvings"), [(1, [0, 0, 1, 2, 3]), (2, [0, 0, 0, 0, 1])])
def test_a_plateau_falls_once_an_epoch_whoever_keeps_the_checkpoints(tmp_path, keepers, frequency, halvings):
    class Other(RunCheckpoint):
        state_key = "Other"

    kept = [kind(str(tmp_path / kind.__name__), "train/loss", "min") for kind in (RunCheckpoint, Other)[:keepers]]
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": bool(kept)}
    trainer = pl.Trainer(max_epochs=5, accelerator="cpu", callbacks=kept, logger=False, **quiet)
    module = Flat(frequency)
    trainer.fit(module, DataLoader(torch.ones(1, 1)))
    assert module.rates == [RATE / 2**n for n in halvings]


def test_the_transformers_schedule_is_that_of_its_paper():
    """Equation 3, whose rate at its peak is (dim warmup)^-0.5."""
    dim, warmup = 512, 40
    peak = (dim * warmup) ** -0.5
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    found = rates(schedules.noam, 200, optimizer, warmup=warmup)
    assert found == pytest.approx([dim**-0.5 * min(t**-0.5, t * warmup**-1.5) for t in range(1, 202)])
    assert found.index(max(found)) == warmup - 1
    assert rates(schedules.noam, 10, warmup=warmup) == pytest.approx([RATE * t / warmup for t in range(1, 12)])
