"""Images with masks, read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.data.identity import Identity, chained, of_files
from lightloom.data.images.decode import read_whole
from lightloom.data.images.readers import SplitName
from lightloom.data.masks.decode import Colour, read_mask, to_classes, translate


class Split(Protocol):
    """What a datamodule of masks needs of one. An item is an image, uint8 (C, H, W), and its mask, uint8 (H, W)."""

    @property
    def labelled(self) -> bool: ...

    def identity(self) -> Identity: ...

    def pick(self, indices: Tensor) -> Split: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...


class Reader(Protocol):
    """A layout on disk. `read` gives None for a split that the data does not have."""

    @property
    def classes(self) -> list[str]: ...

    def read(self, split: SplitName) -> Split | None: ...


@dataclass(frozen=True)
class Coding:
    """What the values of mask files mean. colours: of RGB masks. ignore: the value that counts for nothing. binary: 255
    is class 1. table: value -> class, of sets whose files have other numbers; what it has not is ignored.
    """

    num_classes: int
    colours: Sequence[Colour] = ()
    ignore: int = 255
    binary: bool = False
    table: Mapping[int, int] | None = None

    def read(self, path: Path) -> np.ndarray:
        """uint8 (H, W): classes, or 255."""
        values = read_mask(path, self.colours)
        if self.table is not None:
            values = translate(values, self.table)
        return to_classes(values, self.num_classes, self.ignore, self.binary, path)


@dataclass(frozen=True)
class MaskFiles:
    """images and masks: files, a mask for each image, or none at all. channels: of the images, 1 or 3."""

    images: list[Path]
    masks: list[Path]
    channels: int
    coding: Coding

    @property
    def labelled(self) -> bool:
        return bool(self.masks)

    @property
    def paths(self) -> list[Path]:
        """Of the images, by which a wrong one is named."""
        return self.images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = read_whole(self.images[index], self.channels)
        if not self.masks:
            return image, torch.full(image.shape[1:], 255, dtype=torch.uint8)
        mask = torch.from_numpy(self.coding.read(self.masks[index]))
        check_sizes(mask.shape, image.shape[1:], self.masks[index], self.images[index])
        return image, mask

    def identity(self) -> Identity:
        own, masks = of_files(self.images), of_files(self.masks)
        return Identity(f"{own.of}, and of masks", chained(own.parts, masks.parts))

    def pick(self, indices: Tensor) -> MaskFiles:
        chosen = indices.tolist()
        masks = [self.masks[i] for i in chosen] if self.masks else []
        return replace(self, images=[self.images[i] for i in chosen], masks=masks)


def check_sizes(mask: Sequence[int], image: Sequence[int], path: Path, of: Path) -> None:
    """Raise UserError where a mask's (height, width) are not those of its image."""
    if tuple(mask) != tuple(image):
        raise UserError(
            f"{path}: is {mask[1]} x {mask[0]} pixels, its image {of.name} {image[1]} x {image[0]}; save both at "
            f"one size"
        )
