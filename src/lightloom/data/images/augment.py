"""Augmentation of whole batches, different for every sample, on the batch's device.

Images are (B, C, H, W), uint8 or float; keys are int64 (B,) on the same device. What happens to a sample follows from
its key alone, whatever its batch, worker or rank. mixup and cutmix follow from the batch: its first key stands for it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightloom.core.parts import part
from lightloom.core.ranges import Natural, NotNegative, checked
from lightloom.ops.rng import mix, uniform

# Streams of a sample's key: one for each number that is drawn from it.
_FLIP, _CROP_Y, _CROP_X, _CUTOUT_Y, _CUTOUT_X, _CHOICE, _MIXUP, _CUTMIX = range(8)


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
    alpha. 0 is off. With both mixup and cutmix, each batch draws one.
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
    ) -> None:
        self.crop_padding, self.crop_mode, self.flip, self.cutout = crop_padding, crop_mode, flip, cutout
        self.flip_order, self.mixup, self.cutmix = flip_order, mixup, cutmix

    @property
    def alternates(self) -> bool:
        """Do the keys' turns matter?"""
        return self.flip and self.flip_order == "alternating"

    def geometry(self, images: Tensor, keys: Tensor) -> Tensor:
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
