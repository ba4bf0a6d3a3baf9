"""How high a learning rate may be: a run whose rate rises from step to step, until the loss does too.

Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3. The loss is smoothed, and the rate is
suggested at which it falls most steeply (Howard & Gugger 2020, fastai).
"""

from __future__ import annotations

import io
import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightloom.core import atomic_io, cells
from lightloom.core.errors import UserError
from lightloom.core.figures import new_figure

log = logging.getLogger("lightloom")
SMOOTHING = 0.9  # of the loss: the share that the average keeps at each step
DIVERGED = 1.5  # times the loss that it began with
LEAST = 20  # steps before anything is read off


class LearningRateFinder(pl.Callback):
    """Writes learning_rates.csv and .png, and says which rate to begin with. For the schedule `range_test`.

    The run ends where the smoothed loss has risen far above what it began with, and keeps no weights.
    """

    def __init__(self, dirpath: str) -> None:
        self.folder = Path(dirpath)
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._average, self._rate = 0.0, 0.0

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if not module.automatic_optimization:
            raise UserError(
                "debug=learning_rate raises the rate of one optimizer, and this model steps several itself; try values "
                "of model.*optimizer.lr by src/sweep.py."
            )

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self._rate = float(trainer.optimizers[0].param_groups[-1]["lr"])  # that of the optimizer itself comes last

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        if not math.isfinite(loss):
            trainer.should_stop = True
            return
        self.rates.append(self._rate)
        self.losses.append(loss)
        self._average = SMOOTHING * self._average + (1 - SMOOTHING) * loss
        self.smoothed.append(self._average / (1 - SMOOTHING ** len(self.losses)))
        if len(self.losses) > LEAST and self.smoothed[-1] > DIVERGED * max(self.smoothed[:LEAST]):
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        """The table, the plot, and a line."""
        best = suggestion(self.rates, self.smoothed)
        text = io.StringIO()
        seen = zip(self.rates, self.losses, self.smoothed, strict=True)
        cells.Writer(text).write(["lr", "loss", "smoothed"], *seen)
        atomic_io.write_text(self.folder / "learning_rates.csv", text.getvalue())
        self._plot(best)
        if best is None:
            log.warning("%d steps, and no rate at which the loss falls; see %s.", len(self.rates), self.folder)
        else:
            log.info("The loss falls most steeply at a rate of %.2g; see %s.", best, self.folder / "learning_rates.png")
            log.info("Train with model.optimizer.lr=%.2g, and leave out debug=learning_rate.", best)

    def _plot(self, best: float | None) -> None:
        figure = new_figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color="0.8", label="loss")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        axes.set_ylim(top=DIVERGED * max(self.smoothed[:LEAST], default=1.0))
        if best is not None:
            axes.axvline(best, color="C1", linestyle="--", label=f"steepest: {best:.2g}")
        axes.legend()
        figure.savefig(self.folder / "learning_rates.png", dpi=110)


def suggestion(rates: list[float], losses: list[float]) -> float | None:
    """The rate at which losses, smoothed, fall most steeply over the logarithm of the rate; None where they do not.

    The first steps, and what comes after the lowest loss, say nothing.
    """
    lowest = losses.index(min(losses)) if losses else 0
    steps = list(pairwise(range(LEAST // 2, lowest + 1)))
    falls = {j: (losses[j] - losses[i]) / math.log(rates[j] / rates[i]) for i, j in steps}
    steepest = min(falls, key=lambda j: falls[j], default=None)
    return rates[steepest] if steepest is not None and falls[steepest] < 0 else None
