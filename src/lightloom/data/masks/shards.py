"""Images with masks in shards: a PNG beside each image, whose values are classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count
from lightloom.data.images.decode import read_whole
from lightloom.data.images.layout import SplitName
from lightloom.data.images.readers import image_of
from lightloom.data.images.shards import png, written
from lightloom.data.masks.decode import IGNORE, read_mask, to_classes
from lightloom.data.masks.split import MaskFiles
from lightloom.data.shards.index import REMEDY
from lightloom.data.shards.reading import InShards, ShardReader
from lightloom.data.shards.writing import Packed

KIND, CHOICE = "segmentation", "shards_masks"
MASK = "mask.png"


@part
class ShardedMasks(ShardReader):
    """Images with masks in shards. root: a folder or address. window: shards that an epoch mixes together."""

    kind = KIND

    def __init__(self, root: str, channels: Count = 3, window: Count = 8) -> None:
        super().__init__(root, window)
        self.channels = channels

    def read(self, split: SplitName) -> MasksInShards | None:
        found = self.index.part(split, self.window)
        return None if found is None else MasksInShards(found, self.channels, len(self.classes))


@dataclass(frozen=True)
class MasksInShards(InShards):
    """[i] -> an image, uint8 (C, H, W), and its mask, uint8 (H, W)."""

    channels: int
    num_classes: int

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
