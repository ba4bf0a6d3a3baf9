"""Where a token stands: sinusoids or learned vectors that are added, or an angle that queries and keys turn by."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Positions = Literal["learned", "sinusoidal", "rotary"]
BASE = 10_000.0  # of the wavelengths: from 2 pi to 2 pi BASE


def angles(length: int, dim: int) -> Tensor:
    """t / BASE^(2i / dim) for each place t and pair i, float64 (length, dim / 2); in float32 far places lose digits."""
    rates = BASE ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.arange(length, dtype=torch.float64)[:, None] * rates


def sinusoids(length: int, dim: int) -> Tensor:
    """sin and cos of the angles by turns, float32 (length, dim).  Vaswani et al. 2017, section 3.5.

    PE(t + k) is PE(t) with each pair turned by the angle of k; so PE(t) . PE(t + k) depends on k alone.
    """
    found = angles(length, dim)
    return torch.stack([found.sin(), found.cos()], 2).flatten(1).float()


class Sinusoids(nn.Module):
    """`sinusoids` of the places from `start` on, (count, dim)."""

    table: Tensor

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(length, dim), persistent=False)

    def forward(self, count: int, start: int = 0) -> Tensor:
        return self.table[start : start + count]


class Learned(nn.Module):
    """A vector of its own for each place, (count, dim) from `start` on.  Gehring et al. 2017, section 3.1."""

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, dim).normal_(std=0.02))

    def forward(self, count: int, start: int = 0) -> Tensor:
        return self.table[start : start + count]


def added_positions(positions: Positions, length: int, dim: int) -> Learned | Sinusoids | None:
    """The vectors that are added, (length, dim); None of positions that are not."""
    if positions == "rotary":
        return None
    return Learned(length, dim) if positions == "learned" else Sinusoids(length, dim)


class Rotary(nn.Module):
    """Turns each pair of values of (..., T, dim) by the angle of its place: a product of two depends on their distance.

    Su et al. 2021, RoFormer, section 3.2.2.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        found = angles(length, dim)
        self.register_buffer("cos", found.cos().float(), persistent=False)
        self.register_buffer("sin", found.sin().float(), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        cos, sin = (table[start : start + x.shape[-2]] for table in (self.cos, self.sin))
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).type_as(x)
