"""Precision and recall of generated images: how many are realistic, how much of the real data they cover.

Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.metrics.pairwise import in_pieces

NEIGHBOURS = 3  # the paper's choice


def precision_recall(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Shares of the fakes inside the manifold of the real, and of the real inside that of the fakes (equations 1-3).

    A manifold is the union of the balls around its points that reach to their k-th nearest neighbour in the set.
    real, fake: (N, D) and (M, D), of equal number in the paper. Memory does not grow with N M.
    """
    if min(len(real), len(fake)) <= k:
        raise UserError(
            f"precision and recall with k = {k} need at least {k + 1} real and {k + 1} generated images, but have "
            f"{len(real)} and {len(fake)}; evaluate more of them."
        )
    return covered(fake, real, radii(real, k)), covered(real, fake, radii(fake, k))


def radii(points: Tensor, k: int) -> Tensor:
    """Squared distance from each point to its k-th nearest other one. (N, D) -> (N,)."""
    nearest = [d.topk(k + 1, dim=1, largest=False).values for d in in_pieces(points, points)]  # itself the first
    return torch.cat(nearest)[:, -1]


def covered(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of the points (N, D) inside a ball around one of the centres (M, D), of squared radii (M,)."""
    return float(torch.cat([(d <= radii).any(1) for d in in_pieces(points, centres)]).double().mean())
