"""Exponential moving average of the generator alone."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.run.ema import WeightAverage
from lightloom.core.errors import UserError
from lightloom.core.ranges import Natural, Share, checked
from lightloom.modules.standing_statistics import measure_norms
from lightloom.ops.torch_internals import average_of, last_update


class GeneratorAverage(WeightAverage):
    """Average `module.generator` from step `start` on; validation, tests and checkpoints use it.

    All else, the discriminator too, is as it is trained. Buffers are not averaged, for those of spectral norm would
    fit no weights; before the average is used, the statistics of its batch norms are those of `batches` batches that
    it makes (Brock et al. 2019, appendix C), and spectral norm follows. 0: those of training.
    decay, warm_up: as `WeightAverage` has them, counted from `start`.
    """

    @checked
    def __init__(self, decay: Share = 0.999, warm_up: bool = True, start: Natural = 0, batches: Natural = 16) -> None:
        super().__init__(decay, warm_up, use_buffers=False)
        self.start, self.batches = start, batches
        self._is_measured = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if not hasattr(module, "generator"):
            raise UserError(
                f"callbacks.average averages a generator, and {type(module).__name__} has none; use callbacks=ema."
            )
        averages = [callback for callback in trainer.callbacks if isinstance(callback, WeightAverage)]  # type: ignore[attr-defined]
        if len(averages) > 1:
            raise UserError("callbacks.average and callbacks.ema would both put averages in place; leave one out.")
        super().setup(trainer, module, stage)

    def averaged(self, average: Tensor, current: Tensor, updates: Tensor) -> Tensor:
        since = updates - self.start
        return current.where(since < 0, super().averaged(average, current, since.clamp(min=0)))

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        before = last_update(self)
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        if last_update(self) != before:
            self._is_measured = False

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._make_ready(module)
        super().on_validation_epoch_start(trainer, module)

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._make_ready(module)
        super().on_save_checkpoint(trainer, module, checkpoint)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(trainer, module, checkpoint)
        self._is_measured = True  # before it was saved

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._make_ready(module)
        super().on_fit_end(trainer, module)

    def _make_ready(self, module: pl.LightningModule) -> None:
        """Before the average is used: all but the generator is as it is now, batch norms are measured."""
        average = average_of(self)
        if average is None:
            return
        for name, part in average.named_children():
            if name != "generator":
                part.load_state_dict(module.get_submodule(name).state_dict())
        if not self._is_measured:
            measure_norms(average, self.batches)
            self._is_measured = True
