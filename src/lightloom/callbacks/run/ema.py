"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging

from lightloom.core.ranges import Share


class WeightAverage(EMAWeightAveraging):
    """Lightning's exponential moving average, which validation, test and checkpoints use.

    Lightning's own puts the unaveraged weights back when a test loads the best checkpoint, and leaves them there in a
    run that is resumed at its very end.
    """

    def __init__(self, decay: Share = 0.999, **options: Any) -> None:
        super().__init__(decay=decay, **options)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Nothing: a fit that has no step left does not come here, see `on_fit_end`."""

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_end(trainer, module)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":
            super().on_load_checkpoint(trainer, module, checkpoint)
