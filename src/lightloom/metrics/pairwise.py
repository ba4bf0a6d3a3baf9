"""Squared distances between two sets of points, in chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

MOST_VALUES = 2**20  # in one piece: 8 MiB; larger ones are slower, too
ROUNDING = 1e-12  # a squared distance below this part of the points' squared norms is zero


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2 as float64 (N, M) for points (N, D) and (M, D); exactly 0 for equal points."""
    a, b = a.double(), b.double()
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    distances = torch.addmm(norms, a, b.T, alpha=-2)
    return distances.masked_fill_(distances < norms.mul_(ROUNDING), 0)


def in_pieces(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Yield `squared_distances(a, b)` in chunks of consecutive rows, float64 (n, M)."""
    b = b.double()
    for rows in a.split(max(MOST_VALUES // len(b), 1)):
        yield squared_distances(rows, b)
