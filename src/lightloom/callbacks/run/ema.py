"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging, WeightAveraging
from torch import Tensor

from lightloom.core.ranges import Share

WARM_UP = 10  # the n-th update keeps at most (1 + n) / (10 + n), so that the first weights are soon forgotten


class WeightAverage(EMAWeightAveraging):
    """Lightning's exponential moving average, which validation, test and checkpoints use.

    decay: the share of the average that an update keeps. With warm_up, update n keeps min(decay, (1 + n) / (10 + n)),
    as TensorFlow's ExponentialMovingAverage does with num_updates: with 0.999 from the first step on, 45 % of an
    average would still be the initial weights after 800 steps.

    Lightning's own puts the unaveraged weights back when a test loads the best checkpoint, and leaves them there in a
    run that is resumed at its very end.
    """

    def __init__(
        self,
        decay: Share = 0.999,
        warm_up: bool = True,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
        **options: Any,
    ) -> None:
        WeightAveraging.__init__(self, avg_fn=self.averaged, **options)  # EMAWeightAveraging's has no warm-up
        self.decay, self.warm_up = decay, warm_up
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def averaged(self, average: Tensor, current: Tensor, updates: Tensor) -> Tensor:
        """The average after one update more than these; of whole numbers, such as a count of batches, the current one.

        updates stays on its device: nothing waits for it.
        """
        if not average.is_floating_point():
            return current
        kept = ((1 + updates) / (WARM_UP + updates)).clamp(max=self.decay) if self.warm_up else self.decay
        return average * kept + current * (1 - kept)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Nothing: a fit that has no step left does not come here, see `on_fit_end`."""

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_end(trainer, module)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":
            super().on_load_checkpoint(trainer, module, checkpoint)
