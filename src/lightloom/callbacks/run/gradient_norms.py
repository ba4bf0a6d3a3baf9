"""Which layers are taught, and how much: the norm of the gradient of each layer's weights, over the epochs.

Glorot & Bengio 2010, figure 7; He et al. 2016, section 4.1, who find that plain networks do not lack gradients.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from lightloom.core import atomic_io, cells
from lightloom.core.figures import new_figure
from lightloom.ops.typed_trainer import typed

CSV, PNG = "gradient_norms.csv", "gradient_norms.png"
MOST_LINES = 6  # epochs in the picture


class GradientNorms(pl.Callback):
    """Writes gradient_norms.csv and .png into `dirpath`, of the first step of each epoch and each optimizer.

    Norms (L2) are of weights with two dimensions or more, in the order of the module: of the gradient, over all
    processes and before clipping, and of the weights themselves. Of parameters that a strategy splits over processes
    they are of the process's own part.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(self, dirpath: str) -> None:
        self.folder = Path(dirpath)
        self.history: dict[int, dict[str, list[float]]] = {}  # epoch -> name -> norms of gradient and weights
        self._optimizers: set[int] = set()  # whose step of this epoch is written down

    def state_dict(self) -> dict[str, Any]:
        return {"history": {epoch: dict(norms) for epoch, norms in self.history.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._optimizers = set()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Optimizer) -> None:
        """Keep the norms, before clipping, of an optimizer's first step in this epoch."""
        if id(optimizer) in self._optimizers:
            return
        self._optimizers.add(id(optimizer))
        known = self.history.setdefault(trainer.current_epoch + 1, {})
        own = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        weights = [(name, p) for name, p in module.named_parameters() if p in own and p.ndim > 1]
        for name, parameter in weights:
            if parameter.grad is not None and name not in known:  # known of a run that goes on within the epoch
                known[name] = [_norm(parameter.grad), _norm(parameter)]

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.history and trainer.is_global_zero and not typed(trainer).fast_dev_run:
            self._write()

    def _write(self) -> None:
        text = io.StringIO()
        found = [(e, name, *norms) for e in sorted(self.history) for name, norms in self.history[e].items()]
        cells.Writer(text).write(["epoch", "weights", "gradient norm", "weight norm"], *found)
        atomic_io.write_text(self.folder / CSV, text.getvalue())
        self._plot()

    def _plot(self) -> None:
        figure = new_figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for epoch in spaced(sorted(self.history), MOST_LINES):
            norms = [gradient for gradient, _ in self.history[epoch].values()]
            axes.plot(range(1, len(norms) + 1), norms, label=f"epoch {epoch}", marker="." if len(norms) < 30 else "")
            if min(norms, default=0.0) > 0:
                axes.set_yscale("log")
        axes.set(xlabel="layer, from the input to the output", ylabel="norm of the weights' gradient")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        figure.savefig(self.folder / PNG, dpi=110)


def _norm(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values.detach().float()))


def spaced(values: list[int], most: int) -> list[int]:
    """So many of the values or fewer, evenly spread, with the first and the last."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
