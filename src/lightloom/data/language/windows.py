"""Windows of a text: what is seen, and what follows each of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightloom.data.identity import Identity, of_values
from lightloom.data.tokens import PAD
from lightloom.ops.rng import mix

IGNORE = -100  # a target that is none
_PHASE = -5  # in place of a batch, among the keys of an epoch
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Stream:
    """A text as ids, int64 (N,), in windows of `size` that begin at `starts`, int64 (W,).

    An item is a whole batch: ids int64 (B, size), and the id after each; beyond the end PAD, and IGNORE.
    """

    ids: Tensor
    size: int
    starts: Tensor
    labelled = True  # a text is its own target

    @classmethod
    def of(cls, ids: Tensor, size: int) -> Stream:
        """Windows side by side, so that each id but the first is the target of exactly one place."""
        return cls(ids, size, torch.arange(0, max(len(ids) - 1, 0), size))

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Batch:
        return self.at(self.starts[batch[0]])

    def at(self, starts: Tensor) -> Batch:
        """The windows that begin at these places, int64 (B,)."""
        found = self._padded[starts[:, None] + torch.arange(self.size + 1)]
        return found[:, :-1].clamp(min=PAD), found[:, 1:]

    def identity(self) -> Identity:
        return of_values(self.ids, self.starts)

    def pick(self, indices: Tensor) -> Stream:
        return replace(self, starts=self.starts[indices])

    @cached_property
    def _padded(self) -> Tensor:
        return pad(self.ids, (0, self.size), value=IGNORE)


class Shifted:
    """A stream for training: an epoch's windows begin at a phase of its own, so that their borders are elsewhere.

    In an epoch no id is the target of two places, and all but fewer than two windows of them are of one. seed: of the
    phases; None leaves them at 0.
    """

    def __init__(self, stream: Stream, seed: int | None) -> None:
        self.stream, self.seed = stream, seed

    def __len__(self) -> int:
        """Whole windows at any phase."""
        return max((len(self.stream.ids) - self.stream.size) // self.stream.size, 0)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Batch:
        return self.stream.at(batch[0] * self.stream.size)

    def all_of(self, order: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Batch]:
        """The batches of an order, which knows its epoch."""
        size, first = self.stream.size, self.phase(getattr(order, "epoch", 0))
        return (self.stream.at(indices * size + first) for indices, _ in order)

    def phase(self, epoch: int) -> int:
        """Where its first window begins."""
        return 0 if self.seed is None else mix(self.seed, epoch, _PHASE) % self.stream.size
