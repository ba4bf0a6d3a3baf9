"""Key each step's randomness and restore the position in the epoch, so that a resumed run repeats bit for bit."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from lightloom.core.ranges import Seed
from lightloom.data import contract
from lightloom.modules.protocols import DrawsByStep
from lightloom.ops.rng import mixer, seed_everything
from lightloom.ops.typed_trainer import typed


class KeyedRandomness(pl.Callback):
    """Seeds each training step by (seed, rank, step) and starts a resumed epoch at its next batch.

    A module that draws by the step has its key, (seed, optimizer's step): that of all processes and all parts of an
    accumulated step.

    The position comes from the counters that Lightning saves anyway, so nothing is added to the checkpoint. Data that
    cannot begin inside an epoch goes on in a new order, which one line says. With `max_steps` set, a plain Trainer ends
    the checkpoint's epoch a second time and counts it as another; `engine.lightning_internals.count_epochs_by_data`
    keeps it from that.
    """

    def __init__(self, seed: Seed) -> None:
        self.seed = seed

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._batches = trainer.fit_loop.epoch_loop.batch_progress.total
        self._key = mixer(self.seed, 1, trainer.global_rank)
        self._shared = mixer(self.seed, 2)
        self._drawing: DrawsByStep | None = module if isinstance(module, DrawsByStep) else None

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        seed_everything(self._key(self._batches.ready))
        if self._drawing is not None:
            self._drawing.step_key = self._shared(trainer.global_step)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit":
            return
        data = typed(trainer).datamodule
        contract.resume_at(data, *position(checkpoint["loops"]["fit_loop"]))


def position(loops: dict[str, Any]) -> tuple[int, int]:
    """(epochs that are over, batches of the next one that are) from the counters that a checkpoint has of its loops."""
    epoch, batch = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]
    ended = batch["is_last_batch"] or epoch["ready"] == epoch["processed"]
    return (epoch["ready"], 0) if ended else (epoch["ready"] - 1, batch["current"]["ready"])
