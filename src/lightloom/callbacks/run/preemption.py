"""Save and end, or save and go on, when a signal arrives: SIGTERM, SIGHUP, SIGINT (Ctrl-C) and SIGUSR1."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from lightloom.callbacks.run.checkpoints import checkpoint_keeper, is_between_steps, validation_follows
from lightloom.core import watchdog
from lightloom.core.errors import Interrupted
from lightloom.core.ranges import Positive
from lightloom.ops.typed_trainer import typed

log = logging.getLogger("lightloom")

ENDING = watchdog.ENDING
HEARD = [s for s in (getattr(signal, "SIGUSR1", None), *ENDING) if s]  # the later one prevails
MOST_STEPS = 50  # optimizer steps or validation batches between them, however fast


class Preemption(Checkpoint):
    """Saves last.ckpt at the next safe point, then exits with 143 (SIGTERM), 129 (SIGHUP) or 130 (SIGINT), or goes on
    (SIGUSR1).

    A safe point lies between two optimizer steps, or after an epoch with its validation. In a validation the run ends
    at the next batch, and the last checkpoint stands. A second signal that ends the run leaves at once, and so does one
    while nothing moves (`core.watchdog`). Several processes agree every `seconds_to_agree` or so, so it does not matter
    which of them the signal reaches.

    A Checkpoint, for these come last: what the other callbacks keep of a batch is in the file.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(self, seconds_to_agree: Positive = 1.0) -> None:
        self.seconds_to_agree = seconds_to_agree
        self._received = 0  # 1 + index in HEARD
        self._ending, self._ending_at = 0, 0.0  # the signal that ends the run, when it was heard
        self._leaving = 0  # the signal that ends the run, once all is saved
        self._usual: dict[int, Any] = {}  # handlers to be put back at the end of a fit
        self._before: dict[int, Any] = {}
        self._alone = True
        self._interval, self._passed, self._agreed_at = 1, 0, time.monotonic()

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if stage != "fit" or threading.current_thread() is not threading.main_thread():
            return
        self._received, self._leaving, self._ending, self._alone = 0, 0, 0, trainer.world_size == 1
        self._interval, self._passed, self._agreed_at = 1, 0, time.monotonic()
        ignored = set(ENDING) - set(watchdog.ending_signals())
        self._usual = {number: signal.signal(number, self._hear) for number in HEARD if number not in ignored}

    def on_sanity_check_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._heed_own_signal()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._heed_own_signal()

    def _heed_own_signal(self) -> None:
        """A plain Trainer has put its own handlers in front since `setup`: they would end the run with 0 or 1."""
        for number in self._usual:
            signal.signal(number, self._hear)

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Leave where a signal has come since the end of training, which nobody has answered."""
        unanswered = self._ending if self._usual else 0
        self._restore()
        if unanswered:
            raise Interrupted(unanswered)

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        watchdog.end_step()  # which an exception has left
        self._before |= self._usual
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        self._usual = {}

    def _hear(self, number: int, frame: Any) -> None:
        if not self._usual:  # after an exception a plain Trainer puts back what it had found, which is this
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        if number in ENDING:
            before, at = (self._ending, self._ending_at)
            self._ending, self._ending_at = number, time.monotonic()
            if before and not watchdog.is_echo(number, before, self._ending_at - at):
                signal.signal(number, signal.SIG_DFL)
                raise Interrupted(number)
        self._received = max(self._received, 1 + HEARD.index(signal.Signals(number)))

    # --- the points at which a signal is answered

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and take leave where a signal came that all processes have heard of, between two optimizer steps."""
        watchdog.end_step()
        if self._alone and not self._received:
            return
        if is_between_steps(trainer) and not validation_follows(trainer) and (number := self._agreed(trainer)):
            with watchdog.waiting(watchdog.BUSY):  # other processes wait for the one that writes
                saved = _save(trainer)
            self._say(trainer, number, f"saved {saved}" if saved else "this run keeps no checkpoints")
            self._received, self._leaving = 0, number if number in ENDING else 0

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if self._leaving:  # not before what the last step has logged is written
            raise Interrupted(self._leaving)
        watchdog.begin_step()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and not (self._alone and not self._received):
            self._leave_unsaved(trainer, self._agreed(trainer))

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        number, keeper = self._agreed(trainer, at_once=True), checkpoint_keeper(trainer)
        if self._leaving or keeper is None or keeper.holds(trainer):  # else at the next safe point, where it is saved
            self._leave_unsaved(trainer, number)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._leave_unsaved(trainer, self._agreed(trainer, at_once=True))

    def _agreed(self, trainer: pl.Trainer, at_once: bool = False) -> int:
        """The signal that some process has heard, the same on all; 0 for none, or where it is not yet time to ask."""
        received = self._received
        if not self._alone:
            self._passed += 1
            if self._passed < self._interval and not at_once:
                return 0
            own = torch.tensor([received, time.monotonic() - self._agreed_at], device=trainer.strategy.root_device)
            received, elapsed = trainer.strategy.reduce(own, reduce_op="max").tolist()
            if not at_once:
                wanted = self._passed * self.seconds_to_agree / max(elapsed, 1e-3)
                self._interval = int(min(max(wanted, 1), MOST_STEPS))
            self._passed, self._agreed_at = 0, time.monotonic()
        return HEARD[int(received) - 1] if received else 0

    def _leave_unsaved(self, trainer: pl.Trainer, number: int) -> None:
        """Between epochs last.ckpt is of this very state; inside a validation it is the last safe one."""
        if number in ENDING:
            keeper = checkpoint_keeper(trainer)
            kept = keeper is not None and keeper.last.is_file()
            self._say(trainer, number, f"{keeper.last} stands" if keeper and kept else "nothing was saved yet")
        if number in ENDING or self._leaving:
            raise Interrupted(number or self._leaving)

    def _say(self, trainer: pl.Trainer, number: int, outcome: str) -> None:
        """One line: what was heard, what is saved, and how to continue."""
        keeper = checkpoint_keeper(trainer)
        can_continue = number in ENDING and keeper is not None and keeper.last.is_file()
        remedy = f"; continue with ckpt_path={keeper.folder.parent}" if keeper and can_continue else ""
        where = f"{signal.Signals(number).name} in epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
        log.info("%s: %s%s.", where, outcome, remedy)


def _save(trainer: pl.Trainer) -> str:
    """Write last.ckpt; its path, or nothing where the run keeps no checkpoints."""
    keeper = checkpoint_keeper(trainer)
    if keeper is None or typed(trainer).fast_dev_run:
        return ""
    keeper.save_last(trainer)
    return str(keeper.last)
