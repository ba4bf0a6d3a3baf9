"""Collect the misclassified test images, the most confident mistakes first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.callbacks.at_test import AtTest
from lightloom.core import atomic_io
from lightloom.core.ranges import Count
from lightloom.data.loading import files_of
from lightloom.ops.images.grid import grid, to_uint8, visible, write_png
from lightloom.ops.typed_trainer import typed

COLUMNS = 20


@dataclass(frozen=True)
class Wrong:
    """true, predicted: classes from 0. confidence: of the wrong class. image: uint8 (C, H, W). file: folder/name."""

    true: int
    predicted: int
    confidence: float
    image: Tensor
    file: str = ""


class Misclassified(AtTest):
    """Writes misclassified.png, a grid of small images, and misclassified.json, what they are, after a test.

    Of each pair of a true and a predicted class the `per_pair` that the model was most certain of; `most` in all, of as
    many pairs as can be. side: the pixels of a side that larger images are reduced to. So no test set, however large or
    badly classified, fills the disk: the grid has `3 side^2 most` bytes at most.
    """

    file = "misclassified.png"

    def __init__(self, dirpath: str, per_pair: Count = 12, most: Count = 240, side: Count = 48) -> None:
        super().__init__(dirpath)
        self.per_pair, self.most, self.side = per_pair, most, side

    def taken(self, trainer: pl.Trainer, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> list[Wrong]:
        """The mistakes of a batch of images (B, C, H, W) and labels (B,), whose logits are (B, K)."""
        files = files_of(typed(trainer).test_dataloaders, batch_idx)
        images, labels = batch
        return wrong(outputs["logits"], images, labels, self.side, files)

    def choose(self, kept: list[Wrong]) -> list[Wrong]:
        """The most certain ones of each pair of classes."""
        return choose(kept, self.per_pair, self.most)

    def write(self, trainer: pl.Trainer, kept: Sequence[Wrong]) -> None:
        write(self.folder, sorted(kept, key=lambda w: (w.true, w.predicted, -w.confidence)))


def wrong(logits: Tensor, images: Tensor, labels: Tensor, side: int, files: Sequence[Path] = ()) -> list[Wrong]:
    """The misclassified images of a batch, none with a side of more than `side`.

    logits (B, K), images (B, C, H, W); files: B of them, where they come from some.
    """
    confidence, predicted = logits.float().softmax(1).max(1)
    places = (predicted != labels).nonzero().flatten()
    if not len(places):
        return []
    small = visible(to_uint8(_reduced(images[places].float(), side)))
    facts = (values[places].tolist() for values in (labels, predicted, confidence))
    names = ["/".join(files[i].parts[-2:]) if files else "" for i in places.tolist()]
    return [Wrong(*fact) for fact in zip(*facts, small, names, strict=True)]


def choose(found: Iterable[Wrong], per_pair: int, most: int) -> list[Wrong]:
    """The most confident of each pair of classes, then each pair's second, and so on. Choosing from earlier choices
    and later images equals choosing from all."""
    ordered = sorted(found, key=lambda w: -w.confidence)
    seen: Counter[tuple[int, int]] = Counter()
    ranked: list[tuple[int, int]] = []  # (rank within the pair, place)
    for place, one in enumerate(ordered):
        ranked.append((seen[one.true, one.predicted], place))
        seen[one.true, one.predicted] += 1
    return [ordered[place] for rank, place in sorted(ranked)[:most] if rank < per_pair]


def write(folder: Path, kept: list[Wrong]) -> None:
    """Write both files; for a test without mistakes an empty list and no grid."""
    rows = [
        {"true": w.true, "predicted": w.predicted, "confidence": round(w.confidence, 4)}
        | ({"file": w.file} if w.file else {})
        for w in kept
    ]
    atomic_io.write_text(folder / "misclassified.json", json.dumps({"columns": COLUMNS, "images": rows}) + "\n")
    if kept:
        images = torch.stack([w.image for w in kept])
        write_png(folder / "misclassified.png", grid(images, COLUMNS), height=images.shape[2], width=images.shape[3])
    else:
        (folder / "misclassified.png").unlink(missing_ok=True)


def _reduced(images: Tensor, side: int) -> Tensor:
    factor = side / max(images.shape[-2:])
    if factor >= 1:
        return images
    size = [max(1, round(n * factor)) for n in images.shape[-2:]]
    return interpolate(images, size, mode="bilinear", antialias=True)
