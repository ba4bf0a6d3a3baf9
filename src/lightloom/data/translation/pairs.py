"""Texts and their translations, and batches of both as ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightloom.data.identity import Identity, named_bytes
from lightloom.data.images.layout import SplitName
from lightloom.data.text.datamodule import as_batch, columns
from lightloom.data.tokens import UNKNOWN, Tokenizer

BEGIN, END = 2, 3  # ids before and after a text
SPECIALS = ("<s>", "</s>")
Batch = tuple[Tensor, Tensor, list[str]]


@dataclass(frozen=True)
class Pairs:
    """sources, and of each its translation in targets. notes: what was left out."""

    sources: Sequence[str]
    targets: Sequence[str]
    notes: tuple[str, ...] = ()
    labelled = True  # each has its translation

    def __len__(self) -> int:
        return len(self.sources)

    def identity(self) -> Identity:
        """Every text of both languages."""
        return Identity("texts of both languages", map(named_bytes, (*self.sources, *self.targets)))

    def pick(self, indices: Tensor) -> Pairs:
        """The pairs at these indices, int64 (N,)."""
        chosen = indices.tolist()
        return replace(self, sources=[self.sources[i] for i in chosen], targets=[self.targets[i] for i in chosen])


class Reader(Protocol):
    """Reads the pairs of a part; None where the data has no such part."""

    def read(self, split: SplitName) -> Pairs | None: ...


class Encoded(Dataset[Batch]):
    """Pairs as ids, of which an item is a whole batch: sources int64 (B, S), targets (B, T), and those as they are
    written. A source ends with END; a target begins with BEGIN and ends with END; 0 is what follows.

    Of a text that is longer than max_length ids the rest is cut off, and its end, so that none is learnt there.
    lengths: of source and target together, int64 (N,). columns: that the longer takes in a batch. cut: how many pairs
    were longer. unknown: share of the ids.
    """

    def __init__(self, split: Pairs, tokens: Tokenizer, max_length: int) -> None:
        self.split = split
        self.sources, self.targets = (
            [tokens.encode(text)[: max_length + 1] for text in texts] for texts in (split.sources, split.targets)
        )
        longer = (max(map(len, pair)) > max_length for pair in zip(self.sources, self.targets, strict=True))
        self.cut = sum(longer)
        ids = [i for texts in (self.sources, self.targets) for text in texts for i in text]
        self.unknown = ids.count(UNKNOWN) / max(len(ids), 1)
        self.sources = [closed(text, max_length) for text in self.sources]
        self.targets = [[BEGIN, *closed(text, max_length)] for text in self.targets]
        self.lengths = torch.tensor([len(s) + len(t) for s, t in zip(self.sources, self.targets, strict=True)])
        self.columns = columns(
            torch.tensor([max(len(s), len(t)) for s, t in zip(self.sources, self.targets, strict=True)])
        )

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Batch:
        chosen = batch[0].tolist()
        sources, targets = (as_batch([ids[i] for i in chosen]) for ids in (self.sources, self.targets))
        return sources, targets, [self.split.targets[i] for i in chosen]


def closed(ids: Sequence[int], max_length: int) -> list[int]:
    """A text with END, or as much of it as is seen."""
    return [*ids, END] if len(ids) <= max_length else list(ids[:max_length])
