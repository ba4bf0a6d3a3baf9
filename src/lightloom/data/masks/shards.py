"""Images with masks in shards: a PNG beside each image, whose values are classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count
from lightloom.data.identity import Identity
from lightloom.data.images.decode import read_whole
from lightloom.data.images.layout import SplitName
from lightloom.data.images.readers import image_of
from lightloom.data.images.shards import png, written
from lightloom.data.masks.decode import IGNORE, read_mask, to_classes
from lightloom.data.masks.split import MaskFiles
from lightloom.data.sampling import Blocks
from lightloom.data.shards.index import REMEDY, Index, Shards, open_index
from lightloom.data.shards.writing import Packed

KIND, CHOICE = "segmentation", "shards_masks"
MASK = "mask.png"


@part
class ShardedMasks:
    """Images with masks in shards. root: a folder or address. window: shards that an epoch mixes together."""

    def __init__(self, root: str, channels: Count = 3, window: Count = 8) -> None:
        self.root, self.channels, self.window = str(root), channels, window

    @cached_property
    def index(self) -> Index:
        return open_index(self.root, KIND)

    @property
    def classes(self) -> list[str]:
        return self.index.classes

    def read(self, split: SplitName) -> MasksInShards | None:
        found = self.index.part(split, self.window)
        return None if found is None else MasksInShards(found, self.channels, len(self.classes))


@dataclass(frozen=True)
class MasksInShards:
    """[i] -> an image, uint8 (C, H, W), and its mask, uint8 (H, W)."""

    shards: Shards
    channels: int
    num_classes: int

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

    def pick(self, indices: Tensor) -> MasksInShards:
        return replace(self, shards=self.shards.pick(indices))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.shards[index]
        image = read_whole(image_of(sample), self.channels)
        if MASK not in sample.members:
            return image, torch.full(image.shape[1:], IGNORE, dtype=torch.uint8)
        file = sample.file(MASK)
        mask = torch.from_numpy(to_classes(read_mask(file), self.num_classes, IGNORE, False, file))
        if mask.shape != image.shape[1:]:
            raise UserError(f"{sample.name}: its mask has another size than its image; {REMEDY}.")
        return image, mask


def facts(datamodule: Any) -> dict[str, Any]:
    """Nothing: options say what the images are like."""
    return {}


def samples(split: Any) -> Iterator[Packed]:
    """Each image of a split with its mask."""
    for i in range(len(split)):
        image, mask = split[i]
        found = written(split.images[i] if isinstance(split, MaskFiles) else image)
        yield ({**found, MASK: png(mask[None])}, 0) if split.labelled else (found, None)
