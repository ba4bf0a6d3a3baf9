"""Prompts with an answer, or two of which one was preferred: as text, and as the ids of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from lightloom.data.identity import Identity
from lightloom.data.images.layout import SplitName
from lightloom.data.text.datamodule import as_batch
from lightloom.data.tokens import Tokenizer
from lightloom.ops.answers import targets_of


@dataclass(frozen=True)
class Answered:
    """answers: one, or the preferred one and the other. rewards: what each is worth, where that is known. where: the
    line that says so, for a message.
    """

    prompt: str
    answers: tuple[str, ...]
    rewards: tuple[float, ...] | None = None
    where: str = ""


@dataclass(frozen=True)
class Part:
    """What a reader has of a part. notes: what was left out, and what is known of how it was made."""

    items: Sequence[Answered]
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """Reads a part; None where the data has no such part. answers: of each prompt, 1 or 2."""

    def read(self, split: SplitName, answers: int) -> Part | None: ...


class Pairs(NamedTuple):
    """A batch of pairs, the preferred answer first. ids: int64 (B, 2, T), prompt, answer, its end, and PAD from there
    on. starts: int64 (B,), where answers begin. rewards: float32 (B, 2), what they are worth, NaN where nobody knows.
    """

    ids: Tensor
    starts: Tensor
    rewards: Tensor


class Encoded:
    """A split as ids. end: the id after each answer. lengths: int64 (N,), of the longer sequence of an item.

    An item is a whole batch: `Pairs`; or of single answers ids int64 (B, T), and the id after each where it belongs to
    the answer, int64 (B, T), -100 where it does not.
    """

    labelled = True

    def __init__(self, items: Sequence[Answered], tokens: Tokenizer, end: int) -> None:
        self.items, self.tokens, self.end = items, tokens, end
        prompts = [tokens.encode(item.prompt) for item in items]
        self.rows = [
            [torch.tensor([*prompt, *tokens.encode(answer), end], dtype=torch.int32) for answer in item.answers]
            for prompt, item in zip(prompts, items, strict=True)
        ]
        self.starts = torch.tensor([len(prompt) for prompt in prompts], dtype=torch.int64)
        self.lengths = torch.tensor([max(map(len, rows)) for rows in self.rows], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Any:
        chosen = batch[0].tolist()
        starts, rows = self.starts[batch[0]], [self.rows[i] for i in chosen]
        ids = as_batch([one for several in rows for one in several]).long()
        if len(rows[0]) == 1:
            return ids[:, :-1], targets_of(ids, starts)
        known = [self.items[i].rewards or (math.nan, math.nan) for i in chosen]
        return Pairs(ids.unflatten(0, (len(rows), -1)), starts, torch.tensor(known, dtype=torch.float32))

    def identity(self) -> Identity:
        """Every prompt and answer."""
        texts = ([item.prompt, *item.answers] for item in self.items)
        return Identity("prompts and answers", ("\0".join([*several, ""]).encode() for several in texts))

    def pick(self, indices: Tensor) -> Encoded:
        return Encoded([self.items[i] for i in indices.tolist()], self.tokens, self.end)
