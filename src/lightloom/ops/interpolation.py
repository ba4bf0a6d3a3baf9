"""Interpolate between latents: great arcs and straight lines."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The great arc from a to b (Shoemake 1985, Animating rotation with quaternion curves), as latents use it
    (White 2016, Sampling generative networks): where the norms are equal they stay so on the way.

    a, b: (B, D); t: (T,) in [0, 1]. Returns (B, T, D). The straight line where a and b are parallel: no arc is
    theirs, or any.
    """
    # The angle by its half's tangent (Kahan): an arc cosine loses half of the digits near 0.
    u, v = normalize(a, dim=-1), normalize(b, dim=-1)
    angle = 2 * torch.atan2((u - v).norm(dim=-1), (u + v).norm(dim=-1))[:, None, None]
    t = t[:, None]
    arc = (((1 - t) * angle).sin() * a[:, None] + (t * angle).sin() * b[:, None]) / angle.sin()
    return torch.where(angle.sin().abs() > 1e-4, arc, (1 - t) * a[:, None] + t * b[:, None])


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The straight line from a to b. a, b: (B, D); t: (T,) in [0, 1]. Returns (B, T, D)."""
    return (1 - t)[:, None] * a[:, None] + t[:, None] * b[:, None]
