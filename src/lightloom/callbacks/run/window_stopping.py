"""Stop when a metric is worse than the mean of its last values (Kipf & Welling 2017, section 5.2)."""

from __future__ import annotations

from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from lightloom.core.ranges import Count


class WindowStopping(EarlyStopping):
    """Ends training after a validation in which `monitor` is worse than the mean of the `window` values before it; of a
    metric of training after such an epoch.

    The values are in the checkpoint, so that a run that is resumed stops where the whole one does.
    """

    def __init__(self, monitor: str, mode: Literal["min", "max"], window: Count = 10) -> None:
        super().__init__(monitor, mode=mode)
        self.window, self.values = window, list[float]()

    def state_dict(self) -> dict[str, Any]:
        return {"values": list(self.values), "stopped_epoch": self.stopped_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.values, self.stopped_epoch = list(state_dict["values"]), state_dict["stopped_epoch"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and not self.monitor.startswith("train"):
            self._look(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Of a metric of validation that has decided."""
        if self.monitor.startswith("train"):
            self._look(trainer)

    def _look(self, trainer: pl.Trainer) -> None:
        if self.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.monitor])
        if len(self.values) == self.window and self._is_worse(value, sum(self.values) / self.window):
            self.stopped_epoch, trainer.should_stop = trainer.current_epoch, True
        self.values = [*self.values, value][-self.window :]

    def _is_worse(self, value: float, mean: float) -> bool:
        return value > mean if self.mode == "min" else value < mean
