"""Write down the test texts that were taken for another class, the most certain mistakes first."""

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
from lightloom.core.ranges import Count
from lightloom.data.loading import indices_of
from lightloom.ops.collectives import gather_objects
from lightloom.ops.typed_trainer import classes_of, typed

FILE = "wrong_texts.csv"
HEADER = ("source", "text", "label", "predicted", "probability")
Wrong = tuple[float, str, str, int, int]  # probability of the wrong class, source, text, label, prediction


class WrongTexts(pl.Callback):
    """Writes wrong_texts.csv after a test: `most` texts, each with its class and the one that it was taken for."""

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, most: Count = 200) -> None:
        self.folder, self.most = Path(dirpath), most
        self._kept: list[Wrong] = []
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_output(module, "logits", FILE, self._left_out)

    def on_test_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._kept = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the most certain mistakes so far. batch: ids (B, T), labels (B,); outputs: logits (B, K)."""
        self._left_out = self._left_out or lacks_parts(batch, 2, FILE)
        loaded = typed(trainer).test_dataloaders
        split: Any = getattr(getattr(loaded, "dataset", None), "split", None)
        if is_shown(trainer) and not self._left_out and hasattr(split, "texts"):
            indices = indices_of(loaded, batch_idx)
            found = wrong(outputs["logits"], parts_of(batch, 2)[1])
            rows = [(p, split.names[indices[i]], split.texts[indices[i]], *pair) for p, i, *pair in found]
            self._kept = sorted([*self._kept, *rows], reverse=True)[: self.most]

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        own, self._kept = self._kept, []
        if self._left_out or not is_shown(trainer):
            return
        kept = sorted(gather_objects(own), reverse=True)[: self.most]
        if trainer.is_global_zero:
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
