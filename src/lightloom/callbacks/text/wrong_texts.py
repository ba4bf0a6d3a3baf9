"""Write down the test texts that were taken for another class, the most certain mistakes first."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.at_test import AtTest
from lightloom.core import atomic_io, cells
from lightloom.core.ranges import Count
from lightloom.data.loading import indices_of
from lightloom.ops.typed_trainer import classes_of, typed

FILE = "wrong_texts.csv"
HEADER = ("source", "text", "label", "predicted", "probability")
Wrong = tuple[float, str, str, int, int]  # probability of the wrong class, source, text, label, prediction


class WrongTexts(AtTest):
    """Writes wrong_texts.csv after a test: `most` texts, each with its class and the one that it was taken for."""

    file = FILE

    def __init__(self, dirpath: str, most: Count = 200) -> None:
        super().__init__(dirpath)
        self.most = most

    def taken(self, trainer: pl.Trainer, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> list[Wrong]:
        """The mistakes of a batch of ids (B, T) and labels (B,), whose logits are (B, K)."""
        loaded = typed(trainer).test_dataloaders
        split: Any = getattr(getattr(loaded, "dataset", None), "split", None)
        if not hasattr(split, "texts"):
            return []
        indices = indices_of(loaded, batch_idx)
        found = wrong(outputs["logits"], batch[1])
        return [(p, split.names[indices[i]], split.texts[indices[i]], *pair) for p, i, *pair in found]

    def choose(self, kept: list[Wrong]) -> list[Wrong]:
        """The most certain ones."""
        return sorted(kept, reverse=True)[: self.most]

    def write(self, trainer: pl.Trainer, kept: Sequence[Wrong]) -> None:
        atomic_io.write_text(self.folder / FILE, as_csv(kept, classes_of(trainer)))


def wrong(logits: Tensor, labels: Tensor) -> list[tuple[float, int, int, int]]:
    """(probability, place in the batch, label, prediction) of each mistake: logits (B, K), labels (B,)."""
    probabilities, predicted = logits.float().softmax(1).max(1)
    places = (predicted != labels).nonzero().flatten()
    columns = (probabilities[places], places, labels[places], predicted[places])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def as_csv(kept: Sequence[Wrong], classes: Sequence[str] | None) -> str:
    """The table, with the classes' names where they have any."""
    text = io.StringIO()
    table = cells.Writer(text)
    table.write(HEADER)
    for probability, source, said, *pair in kept:
        table.write([source, said, *(classes[i] if classes else i for i in pair), f"{probability:.4f}"])
    return text.getvalue()
