"""Write down what a classifier says of each test image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.offers import lacks_output, lacks_parts, parts_of
from lightloom.callbacks.samples.grid import is_shown
from lightloom.core import atomic_io, cells
from lightloom.data.loading import files_of
from lightloom.ops.collectives import gather_objects
from lightloom.ops.typed_trainer import typed

FILE = "test_predictions.csv"
Row = tuple[str, int, list[float]]


class TestPredictions(pl.Callback):
    """Writes test_predictions.csv after a test: of each image its file or number, its class, the class that is most
    probable, and the probability of each class.
    """

    __test__ = False  # no class of tests
    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str) -> None:
        self.folder = Path(dirpath)
        self._rows: list[Row] = []
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_output(module, "logits", FILE, self._left_out)

    def on_test_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._rows = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a row for each image. batch: images (B, C, H, W), labels (B,); outputs: logits (B, K)."""
        self._left_out = self._left_out or lacks_parts(batch, 2, FILE)
        if is_shown(trainer) and not self._left_out:
            _, labels = parts_of(batch, 2)
            files = files_of(typed(trainer).test_dataloaders, batch_idx)
            names = [str(file) for file in files] or [""] * len(labels)
            self._rows += rows(names, labels, outputs["logits"])

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        own, self._rows = self._rows, []
        if self._left_out or not is_shown(trainer):
            return
        found = gather_objects(own)
        if trainer.is_global_zero:
            atomic_io.write_text(self.folder / FILE, as_csv(found, getattr(typed(trainer).datamodule, "classes", None)))


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
