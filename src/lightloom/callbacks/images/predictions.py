"""Write down what a classifier says of each test image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.at_test import AtTest
from lightloom.core import atomic_io, cells
from lightloom.data.loading import files_of
from lightloom.ops.typed_trainer import typed

FILE = "test_predictions.csv"
Row = tuple[str, int, list[float]]


class TestPredictions(AtTest):
    """Writes test_predictions.csv after a test: of each image its file or number, its class, the class that is most
    probable, and the probability of each class.
    """

    __test__ = False  # no class of tests
    file = FILE

    def taken(self, trainer: pl.Trainer, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> list[Row]:
        """A row for each of images (B, C, H, W) with labels (B,), whose logits are (B, K)."""
        files = files_of(typed(trainer).test_dataloaders, batch_idx)
        names = [str(file) for file in files] or [""] * len(batch[1])
        return rows(names, batch[1], outputs["logits"])

    def write(self, trainer: pl.Trainer, kept: Sequence[Row]) -> None:
        atomic_io.write_text(self.folder / FILE, as_csv(kept, getattr(typed(trainer).datamodule, "classes", None)))


def rows(names: Sequence[str], labels: Tensor, logits: Tensor) -> list[Row]:
    """(file, label, probabilities) of each image of a batch: labels (B,), logits (B, K)."""
    probabilities = logits.float().softmax(1).tolist()
    return list(zip(names, labels.tolist(), probabilities, strict=True))


def as_csv(found: Sequence[Row], classes: Sequence[str] | None) -> str:
    """The table, with the classes' names where they have any."""
    known = list(classes or map(str, range(len(found[0][2]) if found else 0)))
    text = io.StringIO()
    table = cells.Writer(text)
    table.write(["file", "label", "predicted", *known])
    for number, (name, label, probabilities) in enumerate(found):
        predicted = known[probabilities.index(max(probabilities))]
        table.write([name or number, known[label], predicted, *(f"{p:.6g}" for p in probabilities)])
    return text.getvalue()
