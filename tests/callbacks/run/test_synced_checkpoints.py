"""Checkpoints of very short epochs: each is written, few are flushed to the disk, and none is ever less than whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightloom.callbacks.run import checkpoints
from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.engine import checkpoint

EPOCHS = 12


class Falling(pl.LightningModule):
    """One step an epoch; every third epoch is better than all before."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.save_hyperparameters({"model": {}, "data": {"name": "x"}})

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).sum()

    def on_train_epoch_end(self) -> None:
        self.log("score", float(self.current_epoch // 3))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Clock:
    """Stands still but for `tick` seconds an epoch."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Witness(pl.callbacks.Checkpoint):
    """What a kill after each epoch would leave, as the epochs behind each checkpoint, and the flushes until then."""

    def __init__(self, folder: Path, clock: Clock, tick: float, flushed: list[int]) -> None:
        self.folder, self.clock, self.tick, self.flushed = folder, clock, tick, flushed
        self.left: list[dict[str, int]] = []
        self.flushes: list[int] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        names = [n for n in ("last", "best", "previous") if (self.folder / f"{n}.ckpt").is_file()]
        self.left.append({n: checkpoint.load(self.folder / f"{n}.ckpt")["global_step"] for n in names})
        self.flushes.append(len(self.flushed))
        self.clock.now += self.tick


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, tick: float) -> tuple[Witness, list[int]]:
    """The witness, and all flushes of the run."""
    clock, flushed = Clock(), []
    monkeypatch.setattr(checkpoints, "time", clock)
    monkeypatch.setattr(os, "fsync", flushed.append)
    witness = Witness(folder, clock, tick, flushed)
    keeper = RunCheckpoint(str(folder), "score", "max", every_n_seconds_synced=seconds)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[keeper, witness],
        plugins=[checkpoint.SafeCheckpointIO()],
        **quiet,
    )
    trainer.fit(Falling(), torch.utils.data.DataLoader(torch.ones(1, 1)))
    assert not keeper._unsynced
    return witness, flushed


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_each_epoch_leaves_its_state_to_a_run_that_is_killed(tmp_path, monkeypatch, seconds):
    witness, _ = run(tmp_path, monkeypatch, seconds, tick=0.01)
    assert [left["last"] for left in witness.left] == list(range(1, EPOCHS + 1))
    assert [left["best"] for left in witness.left] == [3 * (epoch // 3) + 1 for epoch in range(EPOCHS)]


def test_short_epochs_are_flushed_when_time_has_passed_and_at_the_end(tmp_path, monkeypatch):
    """Of file and folder, each: the first epoch, whose best is its last, and both files of the end."""
    witness, flushed = run(tmp_path, monkeypatch, seconds=2.0, tick=0.01)
    assert witness.flushes == [2] * EPOCHS
    assert len(flushed) == 2 + 4


def test_previous_is_the_last_that_was_flushed(tmp_path, monkeypatch):
    """Flushed are the epochs 1, 5 and 9, whose files the next epoch keeps."""
    witness, _ = run(tmp_path, monkeypatch, seconds=2.0, tick=0.5)
    assert [left.get("previous") for left in witness.left] == [None, *[1] * 4, *[5] * 4, *[9] * 3]


def test_long_epochs_are_flushed_each(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.atomic_io, "sync", lambda path: pytest.fail(f"{path} was not flushed at once"))
    always, _ = run(tmp_path / "always", monkeypatch, seconds=0.0, tick=5.0)
    usual, _ = run(tmp_path / "usual", monkeypatch, seconds=2.0, tick=5.0)
    assert usual.flushes == always.flushes == [2 * (epoch + 1) for epoch in range(EPOCHS)]
    assert [left.get("previous") for left in usual.left] == [None, *range(1, EPOCHS)]
