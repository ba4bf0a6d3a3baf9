"""Augmentation that moves a mask as it moves its image, by torchvision's transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, NotNegative, Positive, Share, checked
from lightloom.data.masks.decode import IGNORE

TRIES = 10  # of a crop in which one class has no more than its share
PAPER = 114  # of what a crop shows beyond the image; its mask is ignored there


@part
class MaskAugment:
    """Scale, rotate, bend, crop to `height` x `width`, flip, change colours, in this order; each is left out at 0.

    scale: a range of factors. rotate: degrees to either side at most. elastic: pixels, the standard deviation by which
    each point of a 3 x 3 grid is moved, and the image between them (Ronneberger et al. 2015, section 3.1). max_share:
    of the largest class in a crop, unless ten crops have more of it (as in DeepLab's and HRNet's training codes; 1:
    any). flip: probability, left to right. colour: strength of changes in brightness, contrast and saturation, and of
    hue by a tenth. Masks are resized without interpolation; what lies beyond the image is ignored.
    """

    @checked
    def __init__(
        self,
        height: Count,
        width: Count,
        scale: Sequence[Positive] | None = None,
        rotate: NotNegative = 0.0,
        elastic: NotNegative = 0.0,
        max_share: Share = 1.0,
        flip: Share = 0.0,
        colour: NotNegative = 0.0,
    ) -> None:
        if scale is not None and (len(scale) != 2 or not scale[0] <= scale[1]):
            raise UserError(f"data.augment.scale is {list(scale)}; expected [low, high] with 0 < low <= high.")
        self.size, self.scale, self.rotate, self.elastic = (height, width), scale, rotate, elastic
        self.max_share, self.flip = max_share, flip
        self.colour = v2.ColorJitter(colour, colour, colour, min(colour / 10, 0.5)) if colour else None

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """image: uint8 (C, H, W), mask: uint8 (H, W), of any size. Both come back in the crop's; torch's generator
        decides.
        """
        if self.scale:
            low, high = map(math.log, self.scale)
            factor = math.exp(low + (high - low) * float(torch.rand(())))
            image, mask = resized(image, mask, [max(1, round(side * factor)) for side in mask.shape])
        if self.rotate:
            angle = float(self.rotate * (2 * torch.rand(()) - 1))
            image = F.rotate(image, angle, F.InterpolationMode.BILINEAR, fill=[PAPER])
            mask = F.rotate(mask[None], angle, F.InterpolationMode.NEAREST, fill=[IGNORE])[0]
        if self.elastic:
            image, mask = bent(image, mask, self.elastic)
        image, mask = self._cropped(image, mask)
        if self.flip and float(torch.rand(())) < self.flip:
            image, mask = image.flip(-1), mask.flip(-1)
        if self.colour and len(image) == 3:
            image = self.colour(image)
        return image.contiguous(), mask.contiguous()

    def _cropped(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A crop of the size; where the image is smaller, with a margin at the right and below."""
        (height, width), (rows, columns) = self.size, mask.shape
        pad = [0, 0, max(0, width - columns), max(0, height - rows)]
        image, mask = F.pad(image, pad, fill=[PAPER]), F.pad(mask[None], pad, fill=[IGNORE])[0]
        for _ in range(TRIES):
            top = int(torch.randint(mask.shape[0] - height + 1, ()))
            left = int(torch.randint(mask.shape[1] - width + 1, ()))
            part = mask[top : top + height, left : left + width]
            if self.max_share == 1 or largest_share(part) <= self.max_share or part.shape == mask.shape:
                break
        return image[:, top : top + height, left : left + width], part


def bent(image: Tensor, mask: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Image (C, H, W) and mask (H, W), each point moved as a coarse grid of normal displacements says, in pixels."""
    grid = strength * torch.randn(1, 2, 3, 3)
    field = interpolate(grid, mask.shape, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    field = field * (2 / torch.tensor([mask.shape[1], mask.shape[0]]))  # x and y, of an image from -1 to 1
    image = F.elastic(image, field, F.InterpolationMode.BILINEAR, fill=[PAPER])
    return image, F.elastic(mask[None], field, F.InterpolationMode.NEAREST, fill=[IGNORE])[0]


def largest_share(mask: Tensor) -> float:
    """Of the pixels that count, how many are of the most frequent class; 1 where none counts."""
    known = mask[mask != IGNORE]
    return float(known.bincount().max() / len(known)) if len(known) else 1.0


def resized(image: Tensor, mask: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Image (C, H, W) bilinear with antialiasing, mask (H, W) without interpolation, both to (height, width)."""
    if tuple(size) == tuple(mask.shape):
        return image, mask
    return F.resize(image, list(size), antialias=True), F.resize(mask[None], list(size), F.InterpolationMode.NEAREST)[0]
