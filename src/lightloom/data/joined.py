"""Several splits of one data set as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

from torch import Tensor

from lightloom.data.identity import Identity, chained

Item = TypeVar("Item", covariant=True)


class Part(Protocol[Item]):
    """A split whose items are asked for one by one."""

    def identity(self) -> Identity: ...

    def pick(self, indices: Tensor) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...


@dataclass(frozen=True)
class Joined(Generic[Item]):
    """Labelled splits one after another."""

    parts: Sequence[Part[Item]]
    labelled = True

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int) -> Item:
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)

    def identity(self) -> Identity:
        own = [part.identity() for part in self.parts]
        return Identity(own[0].of, chained(*(one.parts for one in own)))

    def pick(self, indices: Tensor) -> Self:
        picked, first = [], 0
        for part in self.parts:
            inside = indices[(indices >= first) & (indices < first + len(part))]
            picked.append(part.pick(inside - first))
            first += len(part)
        return replace(self, parts=picked)
