"""Test-time augmentation: the mean of a classifier's logits over views of an image.

flip: the image and its mirror. flip_and_shift: also both of these moved by one pixel, to the lower right and to the
upper left, which together weigh as much as the unmoved ones (Jordan 2024, arXiv:2404.00498, section 3.5).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Views = Literal["none", "flip", "flip_and_shift"]
SHIFTS: dict[str, dict[int, float]] = {  # pixels -> weight
    "none": {0: 1.0},
    "flip": {0: 1.0},
    "flip_and_shift": {0: 0.5, 1: 0.25, -1: 0.25},
}


def mean_logits(classify: Callable[[Tensor], Tensor], images: Tensor, views: str) -> Tensor:
    """Logits (B, num_classes), float32, of images (B, C, H, W). views: none | flip | flip_and_shift."""
    weighted = [w * _logits(classify, shift(images, n), views != "none") for n, w in SHIFTS[views].items()]
    return torch.stack(weighted).sum(0)


def shift(images: Tensor, pixels: int) -> Tensor:
    """Moved down and right by `pixels`, negative: up and left; what comes in is mirrored at the border."""
    if pixels == 0:
        return images
    margin, (height, width) = abs(pixels), images.shape[-2:]
    first = margin - pixels
    return pad(images, (margin,) * 4, mode="reflect")[..., first : first + height, first : first + width]


def _logits(classify: Callable[[Tensor], Tensor], images: Tensor, with_mirror: bool) -> Tensor:
    logits = classify(images).float()
    return (logits + classify(images.flip(-1)).float()) / 2 if with_mirror else logits
