"""Print progress: a live bar in a terminal, and one line per epoch everywhere."""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger("lightloom")


class Console(pl.Callback):
    """Prints a bar and a line per epoch; refreshes by time, not by step, and never waits for the device in an epoch.

    The bar has the rate, the time left of this pass over the data and, in training, that of the whole run, validations
    included. Without a terminal (a file, a notebook's `!python`, a cluster's log) there is a line with the same each
    minute. Other processes than the first show nothing.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True
    SECONDS_BETWEEN_REFRESHES = 0.25
    SECONDS_BETWEEN_LINES = 60.0

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self._task: Any = None
        self._batches = 0
        self._ended: tuple[str, str] | None = None
        self._validated = False  # since the last line: else Lightning still has the figures of an earlier epoch
        self._started = self._epoch_started = self._refreshed_at = time.monotonic()
        self._first: int | None = None  # batches of the run that were behind it when this process began
        self._what, self._total, self._done = "", 0.0, 0  # the pass over the data: its name, batches, those behind it

    # --- training

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """A run that is continued inside an epoch has no start of it."""
        self._started = self._epoch_started = self._refreshed_at = time.monotonic()
        self._first = None
        self._open(trainer)
        self._begin(f"epoch {_epoch(trainer)}", trainer.num_training_batches)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._say(trainer)
        self._batches, self._epoch_started = 0, time.monotonic()
        self._begin(f"epoch {_epoch(trainer)}", trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._first is None:
            self._first = _batches_behind(trainer, batch_idx)
        self._batches += 1
        self._done = batch_idx + 1
        if self._due():
            self._show(self._rate(), self._left(trainer, batch_idx + 1))

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._ended = f"epoch {_epoch(trainer)}", f"({self._rate():.1f} batches/s)"

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._say(trainer)
        self._close()

    # --- validation and test

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._begin("validation", sum(trainer.num_val_batches))

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validated = True
            self._begin(f"epoch {_epoch(trainer)}", trainer.num_training_batches)

    def on_test_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._open(trainer)
        self._begin("test", sum(trainer.num_test_batches))

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._evaluated()

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._evaluated()

    def on_test_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _evaluated(self) -> None:
        self._done += 1
        if self._due():
            self._show()

    # --- the bar

    def _open(self, trainer: pl.Trainer) -> None:
        if self.bar or not trainer.is_global_zero or not sys.stderr.isatty():
            return
        from rich.console import Console as RichConsole

        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")),
            *(TimeRemainingColumn(), TextColumn("{task.fields[left]}")),
        )
        on_one_screen = sys.stdout.isatty()  # else lines go where stdout does, and the bar needs no room for them
        self.bar = Progress(
            *columns,
            console=RichConsole(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=on_one_screen,
            redirect_stderr=False,
        )
        self.bar.start()

    def _begin(self, what: str, total: int | float) -> None:
        self._what, self._total, self._done = what, total, 0
        if self.bar:
            for task in self.bar.task_ids:
                self.bar.remove_task(task)
            self._task = self.bar.add_task(what, total=None if total == float("inf") else total, rate="", left="")

    def _due(self) -> bool:
        between = self.SECONDS_BETWEEN_REFRESHES if self.bar else self.SECONDS_BETWEEN_LINES
        return time.monotonic() - self._refreshed_at > between

    def _show(self, rate: float | None = None, left: str = "") -> None:
        self._refreshed_at = time.monotonic()
        shown = "" if rate is None else f"{rate:.1f} batches/s"
        if self.bar and self._task is not None:
            self.bar.update(self._task, completed=self._done, rate=shown, left=left)
            self.bar.refresh()
        elif not self.bar:
            of = "" if self._total == float("inf") else f"/{self._total:.0f}"
            log.info("%s", "  ".join(filter(None, (self._what, f"batch {self._done}{of}", shown, left))))

    def _left(self, trainer: pl.Trainer, done: int) -> str:
        """The time left of the run at its rate so far; nothing where its length is unknown."""
        behind, total = _batches_behind(trainer, done), _batches_of_run(trainer)
        if total is None or self._first is None or behind <= self._first:
            return ""
        seconds = (time.monotonic() - self._started) * (total - behind) / (behind - self._first)
        return f"(run {timedelta(seconds=round(max(seconds, 0)))})"

    def _say(self, trainer: pl.Trainer) -> None:
        """Print the line of the epoch that has ended; its last metrics come after callbacks' `on_train_epoch_end`."""
        if self._ended:
            metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
            measured = [name for name in metrics if self._validated or not name.startswith("val/")]
            shown = "  ".join(f"{name} {metrics[name]:.4g}" for name in measured)
            line = f"{self._ended[0]}  {shown}  {self._ended[1]}"
            if log.isEnabledFor(logging.INFO):
                log.info("%s", line)
            elif trainer.is_global_zero:  # in a notebook, where no run has set the log up
                print(line, flush=True)
            self._ended, self._validated, self._refreshed_at = None, False, time.monotonic()

    def _rate(self) -> float:
        return self._batches / max(time.monotonic() - self._epoch_started, 1e-9)

    def _close(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = self._task = None


def _epoch(trainer: pl.Trainer) -> str:
    total = trainer.max_epochs
    return f"{trainer.current_epoch + 1}/{total}" if total and total > 0 else str(trainer.current_epoch + 1)


def _batches_behind(trainer: pl.Trainer, done: int) -> int:
    """Batches of the whole run, of which `done` are of this epoch."""
    batches = trainer.num_training_batches
    return done if batches == float("inf") else int(trainer.current_epoch * batches) + done


def _batches_of_run(trainer: pl.Trainer) -> int | None:
    """None where epochs have no end, or the run ends by steps or by the clock."""
    epochs, batches = trainer.max_epochs, trainer.num_training_batches
    endless = not epochs or epochs < 0 or batches == float("inf") or trainer.max_steps not in (-1, None)
    return None if endless else int(epochs * batches)  # type: ignore[operator]
