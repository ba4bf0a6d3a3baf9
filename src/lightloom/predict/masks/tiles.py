"""Large pictures in tiles that overlap, whose scores are blended: memory for one row of tiles, whatever the picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SIGMA = 0.25  # of the weight of a tile's pixel, as a share of the tile's side, from its middle


def segment_tiled(image: Tensor, scores: Callable[[Tensor], Tensor], tile: int, overlap: float) -> Tensor:
    """The class of each pixel, uint8 (H, W), of an image (C, H, W) that may be of any size.

    scores: (C, h, w) to (K, h, w). overlap: of neighbours, a share of a tile's side. A pixel's scores are the mean of
    those of the tiles that hold it, weighted by a Gaussian around each tile's middle.
    """
    height, width = image.shape[-2:]
    rows, columns = starts(height, tile, overlap), starts(width, tile, overlap)
    found = torch.empty(height, width, dtype=torch.uint8)
    band: Tensor | None = None
    for place, top in enumerate(rows):
        bottom = min(top + tile, height)
        for left in columns:
            right = min(left + tile, width)
            weight = window(bottom - top, right - left)
            part = scores(image[:, top:bottom, left:right]).float().cpu() * weight
            if band is None:
                band = torch.zeros(len(part), bottom - top, width)
            band[:, : bottom - top, left:right] += part
        end = rows[place + 1] if place + 1 < len(rows) else height
        assert band is not None
        found[top:end] = band[:, : end - top].argmax(0).to(torch.uint8)
        band = _moved(band, end - top, min(end + tile, height) - end)
    return found


def starts(length: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin that cover a length, the last one at its end."""
    step = max(1, round(tile * (1 - overlap)))
    last = max(0, length - tile)
    return [*range(0, last, step), last]


def window(height: int, width: int) -> Tensor:
    """Weights (height, width) of a tile's pixels, above 0."""
    sides = [torch.exp(-(((torch.arange(n) + 0.5) / n - 0.5) ** 2) / (2 * SIGMA**2)) for n in (height, width)]
    return sides[0][:, None] * sides[1]


def _moved(band: Tensor, by: int, height: int) -> Tensor:
    """The band `by` rows further down, of `height` rows: what is new is empty."""
    moved = torch.zeros(band.shape[0], height, band.shape[2])
    kept = band[:, by : by + height]
    moved[:, : kept.shape[1]] = kept
    return moved
