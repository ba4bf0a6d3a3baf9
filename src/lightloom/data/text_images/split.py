"""Pictures of texts, read or drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from torch import Tensor

from lightloom.data.identity import Identity, chained, named_bytes, of_files
from lightloom.data.images.decode import read_whole
from lightloom.data.images.readers import SplitName
from lightloom.data.joined import Joined


class Split(Protocol):
    """What a datamodule of texts needs of one. An item is a picture, uint8 (C, H, W), of any size.

    texts: of each, empty where it is not labelled. names: of each, for messages.
    """

    @property
    def labelled(self) -> bool: ...

    @property
    def texts(self) -> Sequence[str]: ...

    @property
    def names(self) -> Sequence[str]: ...

    def identity(self) -> Identity: ...

    def pick(self, indices: Tensor) -> Split: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor: ...


class Reader(Protocol):
    """Where pictures come from. `read` gives None for a split that the data does not have."""

    def read(self, split: SplitName) -> Split | None: ...


@dataclass(frozen=True)
class TextFiles:
    """paths: of pictures. texts: of each, or none at all. channels: 1 or 3."""

    paths: list[Path]
    texts: list[str]
    channels: int

    @property
    def labelled(self) -> bool:
        return bool(self.texts)

    @property
    def names(self) -> list[str]:
        return [str(path) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return read_whole(self.paths[index], self.channels)

    def identity(self) -> Identity:
        own = of_files(self.paths)
        return Identity(f"{own.of} and all texts", chained(own.parts, map(named_bytes, self.texts)))

    def pick(self, indices: Tensor) -> TextFiles:
        chosen = indices.tolist()
        texts = [self.texts[i] for i in chosen] if self.texts else []
        return replace(self, paths=[self.paths[i] for i in chosen], texts=texts)


@dataclass(frozen=True)
class JoinedTexts(Joined[Tensor]):
    """Several splits as one."""

    parts: Sequence[Split]

    @property
    def texts(self) -> list[str]:
        return [text for part in self.parts for text in part.texts]

    @property
    def names(self) -> list[str]:
        return [name for part in self.parts for name in part.names]
