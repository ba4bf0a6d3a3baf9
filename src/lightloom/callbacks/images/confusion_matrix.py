"""Write the confusion matrix of a test as a table, a picture, and to the loggers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.images.log import log_picture
from lightloom.callbacks.offers import lacks
from lightloom.core.cells import Writer, open_csv
from lightloom.core.figures import new_figure
from lightloom.core.text import line
from lightloom.ops.typed_trainer import classes_of, typed

MOST_LABELS = 30  # with more classes, the picture leaves the names and numbers out


class ConfusionMatrix(pl.Callback):
    """Write confusion_matrix.csv and .png into `dirpath`. Rows are the true classes, columns the predicted ones.

    background: a detector's matrix, whose first row counts false boxes and whose first column missed ones.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, background: bool = False) -> None:
        self.folder, self.first = Path(dirpath), ["background"] if background else []
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks(module, "confusion", "confusion_matrix.png", self._left_out)

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the module's matrix, int64 (num_classes, num_classes), as a table and a picture."""
        if self._left_out:
            return
        matrix: Tensor = module.confusion.compute().cpu()  # type: ignore[operator, union-attr]
        if not trainer.is_global_zero or typed(trainer).fast_dev_run:
            return
        classes = classes_of(trainer) or [str(i) for i in range(len(matrix) - len(self.first))]
        classes = [*self.first, *classes]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_table(self.folder / "confusion_matrix.csv", matrix, classes)
        picture = self.folder / "confusion_matrix.png"
        draw(matrix.numpy(), classes).savefig(picture, dpi=120, bbox_inches="tight")
        log_picture(trainer, "test/confusion_matrix", picture)


def write_table(path: Path, matrix: Tensor, classes: Sequence[str]) -> None:
    """matrix: int64 (num_classes, num_classes), counts."""
    rows = [[name, *row] for name, row in zip(classes, matrix.tolist(), strict=True)]
    with open_csv(path, "w") as file:
        Writer(file).write(["true \\ predicted", *classes], *rows)


def draw(matrix: np.ndarray, classes: Sequence[str]):
    """A matplotlib figure, coloured by the share of each true class."""
    classes = list(map(line, classes))
    few = len(classes) <= MOST_LABELS
    size = 2.5 + 0.42 * len(classes) if few else 9
    figure = new_figure(figsize=(size, size))
    axes = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true", title=f"{np.trace(matrix)} of {matrix.sum()} right")
    figure.colorbar(image, fraction=0.046, pad=0.04, label="share of the true class")
    if few:
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        for row, column in zip(*matrix.nonzero(), strict=True):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=8)
    return figure
