"""Differentiable augmentation (Zhao, Liu, Lin, Zhu & Han 2020, Differentiable Augmentation for Data-Efficient GAN
Training, arXiv:2006.10738, section 4.1): what a discriminator sees, real or generated, is changed at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightloom.core.ranges import checked

Change = Literal["color", "translation", "cutout"]
SHIFT, HOLE = 1 / 8, 1 / 2  # of a side


class DiffAugment(nn.Module):
    """Images (B, C, H, W) in [-1, 1] to such, with gradients; each image is changed on its own.

    color: brightness by up to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5, so values may leave [-1, 1].
    translation: by up to an eighth of a side, and cutout: a square of half a side, both with zeros in place.
    """

    @checked
    def __init__(self, policy: Sequence[Change] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        self.policy = list(policy)

    def forward(self, images: Tensor) -> Tensor:
        for name in self.policy:
            images = CHANGES[name](images)
        return images


def color(images: Tensor) -> Tensor:
    """Brightness, saturation and contrast of each image of (B, C, H, W)."""
    brighter, grey, flat = torch.rand(3, len(images), 1, 1, 1, device=images.device, dtype=images.dtype)
    images = images + brighter - 0.5
    mean = images.mean(1, keepdim=True)
    images = mean + (images - mean) * 2 * grey
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = mean + (images - mean) * (flat + 0.5)
    return changed


def translation(images: Tensor) -> Tensor:
    """Each image of (B, C, H, W) moved by whole pixels."""
    count, _, height, width = images.shape
    most = [round(side * SHIFT) for side in (height, width)]
    down, right = (torch.randint(0, 2 * m + 1, (count, 1), device=images.device) for m in most)
    wide = pad(images, (most[1], most[1], most[0], most[0]))
    rows = (torch.arange(height, device=images.device) + down)[:, :, None]
    columns = (torch.arange(width, device=images.device) + right)[:, None, :]
    return wide.permute(0, 2, 3, 1)[torch.arange(count, device=images.device)[:, None, None], rows, columns].permute(
        0, 3, 1, 2
    )


def cutout(images: Tensor) -> Tensor:
    """Zeros in a square of each image of (B, C, H, W), whose middle is anywhere in it."""
    inside = []
    for axis in (2, 3):
        side = images.shape[axis]
        middle = torch.randint(0, side + 1, (len(images), 1), device=images.device)
        places = torch.arange(side, device=images.device)
        size = round(side * HOLE)
        inside.append((places >= middle - size // 2) & (places < middle - size // 2 + size))
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}
