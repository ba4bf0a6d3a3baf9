"""What a denoising autoencoder must undo.  Vincent et al. 2010, Stacked Denoising Autoencoders, section 3.3.

Each takes x (B, ...) in [0, 1] and, optionally, one key per sample, int64 (B,): with keys the corruption is a function
of them, without it is drawn by torch's generator.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lightloom.core.parts import part
from lightloom.core.ranges import NotNegative, Share, checked
from lightloom.ops.rng import normals, uniforms


class Corruption(Protocol):
    """Damages the inputs (B, ...) that a denoising autoencoder restores."""

    def __call__(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """The corrupted x, of the same shape."""
        ...


@part
class Gaussian:
    """Additive noise N(0, level^2); the result may leave [0, 1]."""

    @checked
    def __init__(self, level: NotNegative) -> None:
        self.level = level

    def __call__(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        noise = torch.randn_like(x) if keys is None else normals(keys, x[0].numel()).view_as(x)
        return x + self.level * noise


@part
class Masking:
    """Each value is set to 0 with probability `level`."""

    @checked
    def __init__(self, level: Share) -> None:
        self.level = level

    def __call__(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        return x * (_uniform(x, keys) >= self.level)


@part
class SaltAndPepper:
    """Each value is replaced with probability `level`, by 0 or by 1 as a fair coin says."""

    @checked
    def __init__(self, level: Share) -> None:
        self.level = level

    def __call__(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        u = _uniform(x, keys)
        return torch.where(u < self.level, (u < self.level / 2).to(x.dtype), x)


def _uniform(x: Tensor, keys: Tensor | None) -> Tensor:
    return torch.rand_like(x) if keys is None else uniforms(keys, x[0].numel()).view_as(x)
