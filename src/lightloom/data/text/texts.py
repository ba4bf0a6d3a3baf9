"""Texts of a split, and how they are divided so that equal ones stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from lightloom.data.identity import Identity, named_bytes, tensor_bytes
from lightloom.data.images.layout import SplitName
from lightloom.data.sampling import dealt, stratified_folds, stratified_split


@dataclass(frozen=True)
class Texts:
    """texts, labels int64 (N,) or None where unknown. names: where each was found. notes: what was left out."""

    texts: Sequence[str]
    labels: Tensor | None
    names: Sequence[str]
    notes: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        return self.labels is not None

    def __len__(self) -> int:
        return len(self.texts)

    def identity(self) -> Identity:
        """Every text, and the labels."""
        words = "texts" if self.labels is None else "texts and all labels"
        known = [] if self.labels is None else [self.labels]
        return Identity(words, [*map(named_bytes, self.texts), *tensor_bytes(known)])

    def pick(self, indices: Tensor) -> Texts:
        """The texts at these indices, int64 (N,)."""
        chosen = indices.tolist()
        return replace(
            self,
            texts=[self.texts[i] for i in chosen],
            names=[self.names[i] for i in chosen],
            labels=None if self.labels is None else self.labels[indices],
        )

    def dealt(self) -> Texts:
        """The classes by turns, for an evaluation that may see the first batches only."""
        return self if self.labels is None else self.pick(dealt(self.labels))


class Reader(Protocol):
    """A layout on disk. `read` gives None for a split that the data does not have."""

    @property
    def classes(self) -> list[str]: ...

    def read(self, split: SplitName) -> Texts | None: ...


def joined(parts: Sequence[Texts]) -> Texts:
    """Several splits of one reader, which all have labels, as one."""
    return Texts(
        [text for part in parts for text in part.texts],
        torch.cat([part.labels for part in parts if part.labels is not None]),
        [name for part in parts for name in part.names],
    )


def divided(texts: Texts, fraction: float, seed: int) -> tuple[Texts, Texts]:
    """(rest, part) of labelled texts, `fraction` of each class in the part; equal texts are on one side."""
    first, labels = _representatives(texts)
    places = first.unique()
    _, part = stratified_split(labels[places], fraction, seed)
    return _by(texts, torch.isin(first, places[part]))


def left_out(texts: Texts, folds: int, fold: int, seed: int) -> tuple[Texts, Texts]:
    """(rest, part) of labelled texts, the part one of so many folds; equal texts are on one side."""
    first, labels = _representatives(texts)
    places = first.unique()
    numbers = stratified_folds(labels[places], folds, seed)
    return _by(texts, torch.isin(first, places[numbers == fold]))


def _representatives(texts: Texts) -> tuple[Tensor, Tensor]:
    """The place of the first text that is equal to each, int64 (N,), and the labels."""
    assert texts.labels is not None
    seen: dict[str, int] = {}
    return torch.tensor([seen.setdefault(text, i) for i, text in enumerate(texts.texts)]), texts.labels


def _by(texts: Texts, chosen: Tensor) -> tuple[Texts, Texts]:
    rest, part = ((~chosen).nonzero().flatten(), chosen.nonzero().flatten())
    return texts.pick(rest), texts.pick(part)
