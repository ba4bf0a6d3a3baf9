"""saliency.png: images, and over each of them where the classifier looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.core.text import line
from lightloom.ops.images import grid

MOST, COLUMNS, SMALLEST = 32, 4, 112  # images; of a page; pixels of a side
HEAT, GREY = 0.6, torch.tensor([0.299, 0.587, 0.114])  # the weight of the heat; ITU-R BT.601


class Page:
    """At most 32 images that are classified, with what is said of each."""

    def __init__(self) -> None:
        self.cells: list[Tensor] = []

    @property
    def lacks(self) -> int:
        """How many more there is room for."""
        return MOST - len(self.cells)

    def add(self, images: Tensor, maps: Tensor, said: Sequence[str]) -> None:
        """images: (B, C, H, W) in [0, 1]. maps: (B, h, w), not negative. said: of each, above it."""
        shown = enlarged(images.cpu())
        for image, heated, words in zip(shown, heat(shown, maps.cpu()), said, strict=True):
            pair = grid.grid(torch.stack([image, heated]), 2)
            self.cells.append(grid.captioned(pair, top=[line(words)]))

    def write(self, path: Path) -> Path:
        """The path, to which they are written."""
        grid.write_png(path, grid.grid(torch.stack(self.cells), COLUMNS))
        return path


def enlarged(images: Tensor) -> Tensor:
    """In colour (B, 3, H, W), small ones at a multiple of their size."""
    coloured = grid.visible(images).expand(-1, 3, -1, -1)
    return interpolate(coloured, scale_factor=max(1, -(-SMALLEST // images.shape[-1])), mode="nearest")


def heat(images: Tensor, maps: Tensor) -> Tensor:
    """Images (B, 3, H, W) in grey, under the colours of maps (B, h, w), each of them from zero to its largest value."""
    from matplotlib import colormaps

    maps = interpolate(maps[:, None], images.shape[-2:], mode="bilinear")
    shares = maps / maps.amax((2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    colours = torch.from_numpy(colormaps["inferno"](shares[:, 0].numpy()))[..., :3].float().movedim(-1, 1)
    grey = (images * GREY.view(3, 1, 1)).sum(1, keepdim=True)
    return HEAT * colours + (1 - HEAT) * grey
