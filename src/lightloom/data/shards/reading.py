"""What every reader of shards, and every part that lies in them, has alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

from torch import Tensor

from lightloom.data.identity import Identity
from lightloom.data.sampling import Blocks
from lightloom.data.shards.index import Index, Shards, open_index


class ShardReader:
    """A kind says which data its shards hold. root: a folder or address. window: shards that an epoch mixes."""

    kind: ClassVar[str]

    def __init__(self, root: str, window: int) -> None:
        self.root, self.window = str(root), window

    @cached_property
    def index(self) -> Index:
        return open_index(self.root, self.kind)

    @property
    def classes(self) -> list[str]:
        return self.index.classes


@dataclass(frozen=True)
class InShards:
    """The samples of a part; a kind says what one is."""

    shards: Shards

    @property
    def labelled(self) -> bool:
        return self.shards.labels is not None

    @property
    def blocks(self) -> Blocks:
        return self.shards.blocks

    def __len__(self) -> int:
        return len(self.shards)

    def identity(self) -> Identity:
        return self.shards.identity()

    def fetch(self, indices: list[int]) -> None:
        """Bring these samples together."""
        self.shards.fetch(indices)

    def pick(self, indices: Tensor) -> Self:
        return replace(self, shards=self.shards.pick(indices))
