"""Small changes of pictures of text that leave it legible. Each follows from a picture's key; none mirrors it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from lightloom.core.parts import part
from lightloom.core.ranges import BelowOne, NotNegative, Share, checked
from lightloom.ops.images.grid import as_jpeg
from lightloom.ops.rng import uniforms

WORST = 30  # quality of a JPEG, at least; the best is 95


@part
class TextAugment:
    """Turn, stretch, move, slant, blur and compress; each is left out at 0.

    rotate: degrees to either side. scale: the share by which a picture is larger or smaller. shift: pixels. shear:
    degrees. blur: probability of a blur of three pixels. jpeg: probability of a loss by JPEG. Borders are continued.
    """

    @checked
    def __init__(
        self,
        rotate: NotNegative = 0.0,
        scale: BelowOne = 0.0,
        shift: NotNegative = 0.0,
        shear: NotNegative = 0.0,
        blur: Share = 0.0,
        jpeg: Share = 0.0,
    ) -> None:
        self.rotate, self.scale, self.shift, self.shear = rotate, scale, shift, shear
        self.blur, self.jpeg = blur, jpeg

    def __call__(self, images: Tensor, keys: Tensor) -> Tensor:
        """images: uint8 (B, C, H, W); keys: int64 (B,). What happens to a picture follows from its key alone."""
        u = uniforms(keys, 10)
        if self.rotate or self.scale or self.shift or self.shear:
            images = self._moved(images, 2 * u[:, :5] - 1)
        if self.blur:
            images = blurred(images, torch.where(u[:, 5] < self.blur, u[:, 6] / 3, 0.0))
        if self.jpeg:
            chosen = (u[:, 7] < self.jpeg).nonzero().flatten().tolist()
            images = images.clone()
            for i in chosen:
                images[i] = as_jpeg(images[i], WORST + int((95 - WORST) * float(u[i, 8])))
        return images

    def _moved(self, images: Tensor, v: Tensor) -> Tensor:
        """v: (B, 5) in [-1, 1]."""
        height, width = images.shape[-2:]
        angle, slant = (math.radians(most) * v[:, i] for i, most in ((0, self.rotate), (1, self.shear)))
        factor = 1 + self.scale * v[:, 2]
        cos, sin, tan = angle.cos() * factor, angle.sin() * factor, slant.tan()
        x, y = 2 * self.shift * v[:, 3] / width, 2 * self.shift * v[:, 4] / height
        ratio = height / width
        rows = [cos, (cos * tan - sin) * ratio, x, sin / ratio, sin * tan + cos, y]
        grid = affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
        moved = grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return moved.round_().to(torch.uint8)


def blurred(images: Tensor, weights: Tensor) -> Tensor:
    """Each pixel mixed with its neighbours: uint8 (B, C, H, W), and the weight of each side's, (B,), from 0 to 1/3."""
    values = images.float()
    side = weights.view(-1, 1, 1, 1)
    for before in ((1, 1, 0, 0), (0, 0, 1, 1)):
        wide = pad(values, before, mode="replicate")
        first, last = (wide[..., :-2], wide[..., 2:]) if before[0] else (wide[..., :-2, :], wide[..., 2:, :])
        values = values * (1 - 2 * side) + (first + last) * side
    return values.round_().to(torch.uint8)
