"""The two checkpoints of a run: `best.ckpt` by the monitored metric, and `last.ckpt`, which really is the last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint


class RunCheckpoint(Checkpoint):
    """Saves last.ckpt after each epoch (validation included), and inside one as often as asked; best.ckpt when better.

    every_n_minutes, every_n_steps: also save last.ckpt inside an epoch; None switches off. Inside an epoch it is saved
    between two optimizer steps only, so that the run can be continued exactly.
    """

    def __init__(
        self,
        dirpath: str,
        monitor: str,
        mode: str,
        every_n_minutes: float | None = None,
        every_n_steps: int | None = None,
    ) -> None:
        self.folder, self.monitor, self.mode = Path(dirpath), monitor, mode
        self.every_n_minutes, self.every_n_steps = every_n_minutes, every_n_steps
        self.best_score: float | None = None
        self._saved_at = time.monotonic()

    @property
    def best(self) -> Path:
        return self.folder / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loop = trainer.fit_loop.epoch_loop
        if loop._should_accumulate() or loop._num_ready_batches_reached():
            return  # between two optimizer steps of an epoch only; the epoch's end is saved with its validation
        if self._due(trainer, loop.batch_progress.total.ready):
            self._save(trainer, self.last)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or trainer.fast_dev_run:
            return
        score = trainer.callback_metrics.get(self.monitor)
        if score is not None and self._is_better(float(score)):
            self.best_score = float(score)
            self._save(trainer, self.best)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._save(trainer, self.last)

    def _due(self, trainer: pl.Trainer, batches: int) -> bool:
        if self.every_n_steps and batches % (self.every_n_steps * trainer.accumulate_grad_batches) == 0:
            return True
        if self.every_n_minutes is None:
            return False
        due = time.monotonic() - self._saved_at > 60 * self.every_n_minutes
        return trainer.strategy.reduce_boolean_decision(due, all=False) if trainer.world_size > 1 else due

    def _is_better(self, score: float) -> bool:
        if not torch.isfinite(torch.tensor(score)):
            return False
        if self.best_score is None:
            return True
        return score > self.best_score if self.mode == "max" else score < self.best_score

    def _save(self, trainer: pl.Trainer, path: Path) -> None:
        if not trainer.fast_dev_run:
            trainer.save_checkpoint(path)
            self._saved_at = time.monotonic()
