"""Draw images with their true and found masks, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.callbacks.pages import ExamplePages
from lightloom.core.ranges import Count
from lightloom.losses.segmentation import IGNORE
from lightloom.ops.images.grid import captioned, grid, of_one_size, to_uint8

SIDE = 240  # pixels of an image's longer side on a page
OPACITY = 0.55
WRONG = torch.tensor([255, 0, 0], dtype=torch.uint8)
Shown = tuple[float, Tensor, Tensor, Tensor]  # share of wrong pixels, image, truth, found


class MaskOverlays(ExamplePages):
    """Writes `masks/epoch-0001.png` and so on, and masks.png at a test: image, truth, found, errors.

    See `ExamplePages`; the worst have the largest share of wrong pixels.
    """

    name, output = "masks", "masks"

    def __init__(self, dirpath: str, num_images: Count = 6) -> None:
        super().__init__(dirpath, num_images)

    def examples(self, outputs: Any, batch: Any, module: Any, chosen: Sequence[int]) -> list[Shown]:
        return shown(outputs, batch, chosen)

    def badness(self, example: Shown) -> float:
        return example[0]

    def page(self, examples: Sequence[Shown], trainer: pl.Trainer) -> Tensor:
        return page(examples)


def shown(outputs: Any, batch: Any, chosen: Sequence[int]) -> list[Shown]:
    """The chosen images of a batch with both masks, on the CPU, at the size of a page."""
    found = []
    for image, truth, mask in ((batch[0][i], batch[1][i], outputs["masks"][i]) for i in chosen):
        known = truth != IGNORE
        wrong = float(((mask != truth) & known).sum() / known.sum().clamp(min=1))
        picture, true, seen = (_reduced(x.cpu(), truth.shape) for x in (to_uint8(image), truth, mask))
        found.append((wrong, picture, true, seen))
    return found


def page(images: Sequence[Shown]) -> Tensor:
    """A row for each: image, truth, found, and the wrong pixels in red; uint8 (3, H, W)."""
    cells = [cell for _, image, truth, mask in images for cell in cells_of(image, truth, mask)]
    left = [f"{100 * (1 - one[0]):.0f} %" for one in images]
    return captioned(grid(of_one_size(cells), 4), top=["image", "truth", "found", "wrong"], left=left)


def cells_of(image: Tensor, truth: Tensor, mask: Tensor) -> list[Tensor]:
    """image: uint8 (C, H, W); truth, mask: integers (H, W). Four of uint8 (3, H, W)."""
    colour = image.expand(3, -1, -1)
    wrong = (mask != truth) & (truth != IGNORE)
    return [
        colour,
        overlaid(colour, truth),
        overlaid(colour, mask),
        torch.where(wrong, WRONG[:, None, None], colour // 2),
    ]


def overlaid(image: Tensor, mask: Tensor, opacity: float = OPACITY) -> Tensor:
    """An image, uint8 (3, H, W), under the colours of a mask (H, W); ignored pixels stay as they are."""
    colours = palette()[mask.long().clamp(max=IGNORE)].permute(2, 0, 1)
    mixed = (image.float() * (1 - opacity) + colours.float() * opacity).round().byte()
    return torch.where(mask == IGNORE, image, mixed)


def palette() -> Tensor:
    """A colour for each class, uint8 (256, 3), as in Pascal VOC's devkit: bits of the class, spread over r, g and b."""
    classes = torch.arange(256)
    channels = [sum(((classes >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
    return torch.stack([torch.as_tensor(channel) for channel in channels], 1).to(torch.uint8)


def _reduced(values: Tensor, size: torch.Size) -> Tensor:
    """Images (C, h, w) or masks (H, W) at the size of a mask, with a longer side of SIDE pixels at most."""
    factor = min(1.0, SIDE / max(size))
    wanted = [max(1, round(length * factor)) for length in size]
    if tuple(values.shape[-2:]) == tuple(wanted):
        return values
    if values.ndim == 3:
        return interpolate(values[None].float(), wanted, mode="bilinear", antialias=True)[0].round().byte()
    return interpolate(values[None, None].float(), wanted, mode="nearest")[0, 0].to(values.dtype)
