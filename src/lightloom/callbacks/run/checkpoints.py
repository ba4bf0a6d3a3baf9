"""The checkpoints of a run: `best.ckpt` by the monitored metric, `last.ckpt`, which really is the last, and the one
before it, `previous.ckpt`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping

from lightloom.core import atomic_io, run_dir
from lightloom.core.errors import UserError, did_you_mean
from lightloom.core.ranges import Count, NotNegative, Positive
from lightloom.ops.typed_trainer import typed

AGREE_EVERY = 50  # optimizer steps


class RunCheckpoint(Checkpoint):
    """Saves last.ckpt after each epoch (validation included), and inside one as often as asked; best.ckpt when better.

    every_n_epochs: save after every n-th epoch only, and after the last. best.ckpt is then the best of these epochs.
    every_n_minutes, every_n_steps: also save last.ckpt inside an epoch; None switches off. Inside an epoch it is saved
    between two optimizer steps only, so that the run can be continued exactly; also where max_steps or max_time ends
    the run. every_n_seconds_synced: files are flushed to the disk at most so often, and when training ends; between,
    they are written all the same, so that a process that is killed loses nothing and a machine that crashes these
    seconds: previous.ckpt then is the last that was flushed. 0: each at once.

    The plateau schedules are stepped here, before the epoch's checkpoint is written: see `take_plateaus`. Raises
    UserError at the end of the first validated epoch where `monitor` was not logged and nobody announces it (`logged`).
    """

    does_without_monitor = True  # where nothing validates, there is no best.ckpt

    def __init__(
        self,
        dirpath: str,
        monitor: str,
        mode: Literal["min", "max"],
        every_n_minutes: Positive | None = None,
        every_n_steps: Count | None = None,
        every_n_seconds_synced: NotNegative = 0.0,
        every_n_epochs: Count = 1,
    ) -> None:
        self.folder, self.monitor, self.mode = Path(dirpath), monitor, mode
        self.every_n_minutes, self.every_n_steps = every_n_minutes, every_n_steps
        self.every_n_seconds_synced, self.every_n_epochs = every_n_seconds_synced, every_n_epochs
        self.best_score: float | None = None
        self._synced_at, self._unsynced = -math.inf, set[Path]()
        self._saved_at, self._saved_step = time.monotonic(), 0
        self._postponed = False  # last.ckpt is due when the validation that follows has ended
        self._best_is_now = False  # best.ckpt was written in the state that last.ckpt is about to hold
        self._plateaus: list[tuple[Any, int]] = []
        self._validated, self._monitor_is_known, self._resumed = False, False, False
        self._measured = dict[str, float]()  # of what plateaus wait for, since they were stepped
        self._measured_at = -1  # the step of the last validation

    @property
    def best(self) -> Path:
        return self.folder / run_dir.BEST

    @property
    def last(self) -> Path:
        return self.folder / run_dir.LAST

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "measured": self._measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score, measured = state_dict["best_score"], state_dict.get("measured")
        self._measured = dict(measured) if isinstance(measured, dict) else {}
        self._resumed = True

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        self._plateaus = take_plateaus(trainer)
        self._validated, self._monitor_is_known = False, is_announced(self.monitor, trainer)
        if trainer.world_size > 1:
            self._check_beginning(trainer, module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at the last step and where an interval is over; after the validation where one follows this batch."""
        ends = trainer.should_stop or (trainer.max_steps != -1 and trainer.global_step == trainer.max_steps)
        if not (ends or self._due(trainer)) or not is_between_steps(trainer):
            return
        if ends:
            self._save(trainer, self.last)
        else:
            self._postponed = validation_follows(trainer)
            if not self._postponed:
                self._save(trainer, self.last)

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Forget what the last validation has measured: what this one leaves out counts for nothing."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            watched = {self.monitor, *(config.monitor for config, _ in self._plateaus)}
            forget_measured(trainer, watched, self._resumed)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note that the monitored metric is measured anew; save what a validation inside an epoch decides."""
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        self._validated |= fitting
        if fitting:
            self._measured_at = trainer.global_step
            waited = {config.monitor for config, _ in self._plateaus} & trainer.callback_metrics.keys()
            self._measured |= {name: float(trainer.callback_metrics[name]) for name in waited if is_of_validation(name)}
        if fitting and not ends_epoch(trainer):
            if self._is_nth(trainer):
                self._save_if_better(trainer)
            if self._postponed:
                self._save(trainer, self.last)
        self._postponed = False

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Step plateau schedules, then save best.ckpt where the metric is better, and last.ckpt where it is due."""
        cut_short = not ends_epoch(trainer)
        if cut_short and self._saved_step == trainer.global_step > 0:
            return  # last.ckpt continues inside this epoch
        self._check_monitor(trainer)
        step_plateaus(trainer, self._plateaus, self._measured)
        self._measured = {}
        counts = self._is_nth(trainer) or reaches_its_length(trainer)
        self._best_is_now = counts and self._save_if_better(trainer)
        if counts or self._due(trainer) or may_stop_now(trainer):
            self._save(trainer, self.last)
        self._best_is_now = False

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._sync()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._sync()

    def _is_nth(self, trainer: pl.Trainer) -> bool:
        return (trainer.current_epoch + 1) % self.every_n_epochs == 0

    def _check_monitor(self, trainer: pl.Trainer) -> None:
        """Raise UserError, on all processes, where what is monitored is not among what the epoch has logged."""
        awaits_validation = trainer.enable_validation and not self._validated
        never_validates = not trainer.enable_validation and self.monitor.startswith("val")
        if self._monitor_is_known or awaits_validation or never_validates:
            return
        seen = sorted(trainer.callback_metrics)
        self._monitor_is_known = True  # or it is refused now: asked once
        if trainer.strategy.reduce_boolean_decision(self.monitor not in seen):
            raise UserError(
                f"monitor={self.monitor}: the first epoch logged no such metric, it logged {', '.join(seen) or 'none'}."
                f"{did_you_mean(self.monitor, seen)} Monitor one that is logged, or name it in `logged` of the "
                f"callback that logs it in some epochs only."
            )

    def _check_beginning(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Raise UserError, on all processes, where they have not loaded the same checkpoint."""
        own = torch.tensor(trainer.global_step, device=module.device)
        steps = sorted({int(step) for step in module.all_gather(own)})
        if len(steps) > 1:
            raise UserError(
                f"the processes begin at different steps ({', '.join(map(str, steps))}): they do not see the same "
                f"{self.folder}; set paths.log_dir to a folder that all machines share."
            )

    def holds(self, trainer: pl.Trainer) -> bool:
        """Is last.ckpt of this step, or has nothing been trained since the beginning?"""
        return self._saved_step == trainer.global_step

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write last.ckpt now; the caller sees to it that the run can be continued from here."""
        self._save(trainer, self.last)

    def _due(self, trainer: pl.Trainer) -> bool:
        if self.every_n_steps:
            step = trainer.global_step
            if step % self.every_n_steps == 0 and step != self._saved_step:
                return True
        if self.every_n_minutes is None:
            return False
        due = time.monotonic() - self._saved_at > 60 * self.every_n_minutes
        if trainer.world_size == 1:
            return due
        # All processes must agree, which costs a message: not at each step.
        asked = trainer.global_step % AGREE_EVERY == 0 and is_between_steps(trainer)
        return asked and trainer.strategy.reduce_boolean_decision(due, all=False)

    def _save_if_better(self, trainer: pl.Trainer) -> bool:
        score = trainer.callback_metrics.get(self.monitor)
        is_of_others = is_of_validation(self.monitor) and self._measured_at != trainer.global_step  # of earlier weights
        if score is None or is_of_others or not self._is_better(float(score)):
            return False
        self.best_score = float(score)
        self._save(trainer, self.best)
        return True

    def _is_better(self, score: float) -> bool:
        if not math.isfinite(score):
            return False
        if self.best_score is None:
            return True
        return score > self.best_score if self.mode == "max" else score < self.best_score

    def _save(self, trainer: pl.Trainer, path: Path) -> None:
        if not typed(trainer).fast_dev_run and not (self._best_is_now and self._link_last(trainer)):
            self._write(trainer, path)
        if path == self.last:
            self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def _write(self, trainer: pl.Trainer, path: Path) -> None:
        """The file as the time since the last flush allows. A strategy of several processes takes no such options."""
        waits = trainer.world_size == 1 and time.monotonic() - self._synced_at < self.every_n_seconds_synced
        replaces_unsynced = path in self._unsynced
        options = {"synced": not waits, "keep_older": not replaces_unsynced}
        trainer.save_checkpoint(path, storage_options=options if waits or replaces_unsynced else None)
        if waits:
            self._unsynced.add(path)
            return
        self._unsynced.discard(path)
        if path == self.last:
            self._sync()
            self._synced_at = time.monotonic()

    def _sync(self) -> None:
        """Have on the disk what was written since the last flush."""
        for path in self._unsynced:
            if path.is_file():
                atomic_io.sync(path)
        self._unsynced.clear()

    def _link_last(self, trainer: pl.Trainer) -> bool:
        """Give best.ckpt, just written, the name last.ckpt too; False where each needs its own file."""
        if trainer.world_size > 1:
            return False
        link = self.last.with_name(f".saving-{self.last.name}")
        try:
            link.unlink(missing_ok=True)
            link.hardlink_to(self.best)
            if self.last not in self._unsynced:
                atomic_io.keep(self.last, self.last.with_name(run_dir.PREVIOUS))
            link.replace(self.last)  # both names are only ever replaced, never written into
        except OSError:  # a file system without links, or a strategy whose checkpoint is a folder
            return False
        if self.best in self._unsynced:
            self._unsynced.add(self.last)
        else:
            self._sync()
            self._synced_at = time.monotonic()
        return True


def is_between_steps(trainer: pl.Trainer) -> bool:
    """At the end of a batch: was it the last of an optimizer step, but not of an epoch, which its validation ends?"""
    if ends_epoch(trainer):
        return False
    batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return batches % trainer.accumulate_grad_batches == 0


def ends_epoch(trainer: pl.Trainer) -> bool:
    """Is the batch at hand, or that before a validation, the epoch's last?"""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    return progress.is_last_batch or progress.current.ready == trainer.num_training_batches


def validation_follows(trainer: pl.Trainer) -> bool:
    """Between two steps: does a validation come before the next? A run resumed from here would leave it out.

    As Lightning decides it, but for validations by the clock (`val_check_interval` in minutes), which no run repeats.
    """
    every, each = typed(trainer).val_check_batch, typed(trainer).check_val_every_n_epoch
    if not trainer.enable_validation or (each is not None and (trainer.current_epoch + 1) % each):
        return False
    if may_stop_now(trainer):
        return True
    loop = trainer.fit_loop.epoch_loop
    if every == math.inf:  # data without a length
        limit = trainer.limit_train_batches
        return isinstance(limit, int) and (loop.batch_idx + 1) % limit == 0
    batches = loop.total_batch_idx if each is None else loop.batch_idx
    return every is not None and (batches + 1) % every == 0


def reaches_its_length(trainer: pl.Trainer) -> bool:
    """At the end of an epoch: is it the last of `max_epochs`, or that of `max_steps`?"""
    ends = trainer.current_epoch + 1 == trainer.max_epochs
    return ends or (trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps)


def may_stop_now(trainer: pl.Trainer) -> bool:
    """Has somebody asked to end the run (early stopping, `max_time`), who may?"""
    return bool(trainer.should_stop) and _may_stop(trainer)


def _may_stop(trainer: pl.Trainer) -> bool:
    """Are `min_epochs` and `min_steps` behind?"""
    loop: Any = trainer.fit_loop
    enough_epochs = loop.epoch_progress.current.processed >= (loop.min_epochs or 0)
    return enough_epochs and trainer.global_step >= (loop.min_steps or 0)


def checkpoint_keeper(trainer: pl.Trainer) -> RunCheckpoint | None:
    """The trainer's RunCheckpoint, or None where the run keeps no checkpoints."""
    return next((c for c in typed(trainer).callbacks if isinstance(c, RunCheckpoint)), None)


def is_announced(metric: str, trainer: pl.Trainer) -> bool:
    """Does the module or a callback say that it logs the metric (`logged`), if only in some epochs?"""
    sources = [trainer.lightning_module, *typed(trainer).callbacks]
    return any(metric in getattr(source, "logged", ()) for source in sources)


def take_plateaus(trainer: pl.Trainer) -> list[tuple[Any, int]]:
    """The plateau schedules of epochs, each with its number of epochs, which Lightning from here on does not step.

    It would step them after the epoch's checkpoint is written, and a run resumed from there would lose the step.
    """
    plateaus = [c for c in trainer.lr_scheduler_configs if c.reduce_on_plateau and c.interval == "epoch"]
    found = [(config, config.frequency) for config in plateaus]
    for config in plateaus:
        config.frequency = sys.maxsize
    return found


def step_plateaus(trainer: pl.Trainer, plateaus: list[tuple[Any, int]], measured: Mapping[str, float]) -> None:
    """Tell the schedules, each after so many epochs, the value of what they monitor, where it is a new one.

    measured: by validations since the last time. A value that nobody has measured since is none that is no better.
    """
    for config, epochs in plateaus:
        values: Mapping[str, Any] = measured if is_of_validation(config.monitor) else trainer.callback_metrics
        if config.monitor in values and (trainer.current_epoch + 1) % epochs == 0:
            config.scheduler.step(values[config.monitor])


def is_of_validation(metric: str) -> bool:
    """Is it measured by validations, by its name?"""
    return metric.startswith("val")


def forget_measured(trainer: pl.Trainer, metrics: Collection[str], are_known: bool) -> None:
    """Drop the values of these metrics of validation, and of those that stopping waits for, which Lightning keeps.

    Early stopping then passes over a validation without its metric, which is an error only where it was never logged.
    are_known: has this run logged all of them before?
    """
    stops = [c for c in typed(trainer).callbacks if isinstance(c, EarlyStopping)]
    for stop in stops:
        if are_known or stop.monitor in trainer.callback_metrics or is_announced(stop.monitor, trainer):
            stop.strict = False
    for name in {*metrics, *(stop.monitor for stop in stops)}:
        if is_of_validation(name):
            trainer.callback_metrics.pop(name, None)
