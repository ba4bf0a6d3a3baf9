"""Pictures of any size at the size that a model reads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import functional as F

PAPER = 255


def fitted(image: Tensor, height: int, width: int) -> Tensor:
    """A picture uint8 (C, h, w) as (C, height, width): its ratio is kept, what is missing is paper at the right, or
    below where it is wider. Bilinear with antialiasing; one that has the size already keeps its pixels.
    """
    _, own_height, own_width = image.shape
    if (own_height, own_width) == (height, width):
        return image
    size = fitted_size(own_height, own_width, height, width)
    if size != (own_height, own_width):
        image = F.resize(image, list(size), antialias=True)
    return pad(image, (0, width - size[1], 0, height - size[0]), value=PAPER)


def fitted_size(own_height: int, own_width: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) of the largest picture of this ratio that fits, in integers, rounded half up."""
    if own_width * height <= own_height * width:
        return height, max(1, (2 * own_width * height + own_height) // (2 * own_height))
    return max(1, (2 * own_height * width + own_width) // (2 * own_width)), width


def stacked(images: list[Tensor], height: int, width: int) -> Tensor:
    """Pictures uint8 (C, h, w) of any sizes as uint8 (B, C, height, width)."""
    return torch.stack([fitted(image, height, width) for image in images])
