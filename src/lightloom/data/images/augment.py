"""Augmentation of whole batches, different for every sample, on the batch's device.

Images are (B, C, H, W), uint8 or float; keys are int64 (B,) on the same device. What happens to a sample follows from
its key alone, whatever its batch, worker or rank. mixup and cutmix follow from the batch: its first key stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Gt, Le
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Natural, NotNegative, checked
from lightloom.ops.rng import mix, uniform

# Streams of a sample's key: one for each number that is drawn from it.
_FLIP, _CROP_Y, _CROP_X, _CUTOUT_Y, _CUTOUT_X, _CHOICE, _MIXUP, _CUTMIX, _AREA, _ASPECT = range(10)
ASPECT = 4 / 3  # widest and, as 3 / 4, narrowest part of an image that is cut out (Szegedy et al. 2015)


def random_flip(images: Tensor, keys: Tensor) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    return _mirror(images, (uniform(keys, _FLIP) < 0.5).long())


def alternating_flip(images: Tensor, keys: Tensor) -> Tensor:
    """Mirror each image whose key is odd: of KeyedBatches with `alternate`, one epoch of two, so that two epochs show
    every image both ways.  Jordan 2024, arXiv:2404.00498, section 3.6.
    """
    return _mirror(images, keys & 1)


def random_crop(images: Tensor, keys: Tensor, padding: int, mode: str = "constant") -> Tensor:
    """Pad by `padding` pixels on every side and cut each image out again at its own offset; same shape.

    mode: as in `torch.nn.functional.pad`; constant pads zeros (He et al. 2016, section 4.2), reflect mirrors.
    """
    b, c, h, w = images.shape
    exact = images.half() if images.is_cuda and images.dtype == torch.uint8 else images  # CUDA reflects no integers
    padded = F.pad(exact, (padding,) * 4, mode=mode).to(images.dtype).contiguous()
    y, x = (_below(2 * padding + 1, keys, stream) for stream in (_CROP_Y, _CROP_X))
    image, channel, row, _ = padded.stride()
    starts = torch.arange(b, device=images.device) * image + y * row + x
    # All that a crop needs, and the margins between its rows, is one run of memory: a crop is one copy, not C * H.
    run = (c - 1) * channel + (h - 1) * row + w
    runs = padded.as_strided((padded.numel() - run + 1, run), (1, 1)).index_select(0, starts)
    return runs.as_strided((b, c, h, w), (run, channel, row, 1)).contiguous()


def random_resized_crop(images: Tensor, keys: Tensor, size: int, area: Sequence[float]) -> Tensor:
    """Cut a part out of each image and scale it to (size, size), bilinear: (B, C, size, size), of the images' type.

    area: smallest and largest share of the image's area; its aspect ratio is between 3/4 and 4/3, evenly on a
    logarithmic scale.  Szegedy et al. 2015, Going Deeper with Convolutions, section 6.
    """
    share = area[0] + (area[1] - area[0]) * uniform(keys, _AREA)
    stretch = torch.exp(math.log(ASPECT) * (uniform(keys, _ASPECT) - 0.5))  # the square root of the ratio
    width, height = ((share.sqrt() * side).clamp(max=1) for side in (stretch, 1 / stretch))
    # In the coordinates of grid_sample the image reaches from -1 to 1: a part's centre lies as far in as it is large.
    x, y = ((2 * uniform(keys, s) - 1) * (1 - side) for s, side in ((_CROP_X, width), (_CROP_Y, height)))
    none = torch.zeros_like(x)
    affine = torch.stack([torch.stack([width, none, x], 1), torch.stack([none, height, y], 1)], 1).float()
    grid = F.affine_grid(affine, [len(images), 1, size, size], align_corners=False)
    cut = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return cut if images.is_floating_point() else cut.round_().to(images.dtype)


def cutout(images: Tensor, keys: Tensor, size: int) -> Tensor:
    """Set a square of `size` pixels to zero; its centre is any pixel, so it may stick out.  DeVries & Taylor 2017."""
    h, w = images.shape[2:]
    rows = _interval(_below(h, keys, _CUTOUT_Y) - size // 2, size, h)
    columns = _interval(_below(w, keys, _CUTOUT_X) - size // 2, size, w)
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


def mixup(images: Tensor, labels: Tensor, keys: Tensor, num_classes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Blend each image and label with its neighbour's, lambda ~ Beta(alpha, alpha) for the batch.  Zhang et al. 2018.

    images: float. labels: int64 (B,). Returns the images and soft labels (B, num_classes).
    """
    lam = _generator(keys, _MIXUP).beta(alpha, alpha)
    return images.lerp(images.roll(1, 0), 1 - lam), _blend(labels, lam, num_classes)


def cutmix(images: Tensor, labels: Tensor, keys: Tensor, num_classes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Paste a box of the neighbour into each image; labels weigh by area.  Yun et al. 2019, algorithm A1.

    labels: int64 (B,). Returns the images and soft labels (B, num_classes).
    """
    generator = _generator(keys, _CUTMIX)
    side = np.sqrt(1 - generator.beta(alpha, alpha))
    (y0, y1), (x0, x1) = (_box_side(int(n * side), int(generator.integers(n)), n) for n in images.shape[2:])
    mixed = images.clone()
    mixed[..., y0:y1, x0:x1] = images.roll(1, 0)[..., y0:y1, x0:x1]
    h, w = images.shape[2:]
    return mixed, _blend(labels, 1 - (y1 - y0) * (x1 - x0) / (h * w), num_classes)


@part
class Augment:
    """The augmentations of a data set: `geometry` on the images as stored (uint8), then `mix` on float images.

    flip_order: random, a coin for each image and epoch, or alternating. crop_padding, cutout: pixels; mixup, cutmix:
    alpha. 0 is off. With both mixup and cutmix, each batch draws one. crop_area: smallest and largest share of an
    image's area that a random part of it has, which is scaled to the image's size; None: no such crops.
    """

    @checked
    def __init__(
        self,
        crop_padding: Natural = 0,
        crop_mode: Literal["constant", "reflect"] = "constant",
        flip: bool = False,
        flip_order: Literal["random", "alternating"] = "random",
        cutout: Natural = 0,
        mixup: NotNegative = 0.0,
        cutmix: NotNegative = 0.0,
        crop_area: Sequence[Annotated[float, Gt(0), Le(1)]] | None = None,
    ) -> None:
        if crop_area is not None and (len(crop_area) != 2 or crop_area[0] > crop_area[1]):
            raise UserError(
                f"data.augment.crop_area is {list(crop_area)}; expected the smallest and the largest share of an "
                f"image, such as [0.35, 1.0]."
            )
        self.crop_area = crop_area
        self.crop_padding, self.crop_mode, self.flip, self.cutout = crop_padding, crop_mode, flip, cutout
        self.flip_order, self.mixup, self.cutmix = flip_order, mixup, cutmix

    @property
    def alternates(self) -> bool:
        """Do the keys' turns matter?"""
        return self.flip and self.flip_order == "alternating"

    def geometry(self, images: Tensor, keys: Tensor, size: int | None = None) -> Tensor:
        """Images (B, C, H, W), square, to (B, C, size, size); without `size` they stay as large as they are."""
        if self.crop_area is not None:
            images = random_resized_crop(images, keys, size or images.shape[-1], self.crop_area)
        elif size is not None:
            images = centre(images, size)
        if self.flip:
            images = alternating_flip(images, keys) if self.alternates else random_flip(images, keys)
        if self.crop_padding:
            images = random_crop(images, keys, self.crop_padding, self.crop_mode)
        return cutout(images, keys, self.cutout) if self.cutout else images

    def mix(self, images: Tensor, labels: Tensor, keys: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Labels stay int64 (B,) where neither mixup nor cutmix is on, else they are soft (B, num_classes)."""
        if not (self.mixup or self.cutmix):
            return images, labels
        on = [(function, alpha) for function, alpha in ((mixup, self.mixup), (cutmix, self.cutmix)) if alpha]
        function, alpha = on[_generator(keys, _CHOICE).integers(len(on))]
        return function(images, labels, keys, num_classes, alpha)


def centre(images: Tensor, size: int) -> Tensor:
    """The middle (B, C, size, size) of images (B, C, H, W) that are as large or larger."""
    if images.shape[-2:] == (size, size):
        return images
    top, left = ((side - size) // 2 for side in images.shape[-2:])
    return images[..., top : top + size, left : left + size]


def _mirror(images: Tensor, which: Tensor) -> Tensor:
    """Mirrored where `which`, int64 (B,), is 1."""
    b = len(images)
    # Picking from both versions copies whole images; torch.where would go pixel by pixel, four times slower.
    return torch.cat([images, images.flip(-1)]).index_select(0, torch.arange(b, device=images.device) + b * which)


def _below(n: int, keys: Tensor, stream: int) -> Tensor:
    """An integer in [0, n) per key."""
    return (uniform(keys, stream) * n).long()


def _generator(keys: Tensor, stream: int) -> np.random.Generator:
    return np.random.default_rng(mix(int(keys[0]), stream))


def _interval(start: Tensor, size: int, n: int) -> Tensor:
    """True for the positions in [start, start + size). start: (B,). Returns (B, n)."""
    positions = torch.arange(n, device=start.device) - start[:, None]
    return (positions >= 0) & (positions < size)


def _box_side(size: int, centre: int, n: int) -> tuple[int, int]:
    return max(centre - size // 2, 0), min(centre - size // 2 + size, n)


def _blend(labels: Tensor, weight: float, num_classes: int) -> Tensor:
    """Weight for a sample's own class, the rest for its neighbour's."""
    own = F.one_hot(labels, num_classes).float()
    return own.lerp(own.roll(1, 0), 1 - weight)
