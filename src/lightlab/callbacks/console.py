"""What a person sees while a run trains: a live bar in a terminal, and one line per epoch everywhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger("lightlab")


class Console(pl.Callback):
    """Refreshes by time, not by step, and reads no metric from the device inside an epoch."""

    SECONDS_BETWEEN_REFRESHES = 0.25

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self._task: Any = None
        self._batches = 0
        self._ended: tuple[str, str] | None = None
        self._epoch_started = self._refreshed_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero and sys.stderr.isatty():
            from rich.console import Console as RichConsole

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self.bar = Progress(
                *columns, TimeRemainingColumn(), console=RichConsole(stderr=True), auto_refresh=False, transient=True
            )
            self.bar.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._say(trainer)
        self._batches, self._epoch_started = 0, time.monotonic()
        if self.bar:
            for task in self.bar.task_ids:
                self.bar.remove_task(task)
            self._task = self.bar.add_task(f"epoch {_epoch(trainer)}", total=trainer.num_training_batches, rate="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches += 1
        if (
            self.bar
            and self._task is not None
            and time.monotonic() - self._refreshed_at > self.SECONDS_BETWEEN_REFRESHES
        ):
            self._refreshed_at = time.monotonic()
            self.bar.update(self._task, completed=batch_idx + 1, rate=f"{self._rate():.1f} batches/s")
            self.bar.refresh()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._ended = f"epoch {_epoch(trainer)}", f"({self._rate():.1f} batches/s)"

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._say(trainer)
        self._close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _say(self, trainer: pl.Trainer) -> None:
        """One line for the epoch that has ended; its last metrics come after a callback's `on_train_epoch_end`."""
        if self._ended:
            metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
            shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            log.info("%s  %s  %s", self._ended[0], shown, self._ended[1])
            self._ended = None

    def _rate(self) -> float:
        return self._batches / max(time.monotonic() - self._epoch_started, 1e-9)

    def _close(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None


def _epoch(trainer: pl.Trainer) -> str:
    total = trainer.max_epochs
    return f"{trainer.current_epoch + 1}/{total}" if total and total > 0 else str(trainer.current_epoch + 1)
