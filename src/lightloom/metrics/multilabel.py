"""Measures of images that have any number of labels each."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

MIDDLE = 0.5
NEVER = 2.0  # a threshold that no probability reaches


class Gathered(Metric):
    """All outputs and targets of an evaluation, float (N, K) each, of all processes; nothing is measured twice."""

    full_state_update = False
    outputs: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("outputs", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """A batch, (B, K) each."""
        self.outputs.append(outputs.detach().float())
        self.targets.append(targets.float())

    def compute(self) -> tuple[Tensor, Tensor]:
        """(outputs, targets)."""
        return _whole(self.outputs), _whole(self.targets)


def average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Of each label, (K,): the sum over recall's steps of precision there, each distinct score a step; NaN without any.

    scores: (N, K), of any scale; targets: 0 or 1, (N, K).
    """
    return torch.stack([_average_precision(scores[:, k], targets[:, k]) for k in range(scores.shape[1])])


def _average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    found, wrong = _curve(scores, targets)
    steps = torch.diff(found, prepend=found.new_zeros(1)) / found[-1]
    return (steps * found / (found + wrong)).sum()


def best_thresholds(scores: Tensor, targets: Tensor) -> Tensor:
    """The threshold of each label, (K,), from which on its F1 is highest: midway to the next lower score, or 0.

    NEVER where no image has the label. scores: probabilities (N, K). targets: 0 or 1.
    """
    return torch.stack([_best_threshold(scores[:, k], targets[:, k]) for k in range(scores.shape[1])])


def _best_threshold(scores: Tensor, targets: Tensor) -> Tensor:
    if not targets.any():
        return scores.new_tensor(NEVER)
    found, wrong = _curve(scores, targets)
    best = (2 * found / (found + wrong + targets.sum())).argmax()
    levels = torch.cat([scores.unique(sorted=True).flip(0), scores.new_zeros(1)])
    return (levels[best] + levels[best + 1]) / 2


def _curve(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Counts of true and of false positives, double (L,), at each distinct score, the highest first."""
    levels, place = (-scores).unique(sorted=True, return_inverse=True)
    found = torch.zeros(len(levels), dtype=torch.float64, device=scores.device).index_add_(0, place, targets.double())
    wrong = torch.zeros_like(found).index_add_(0, place, 1 - targets.double())
    return found.cumsum(0), wrong.cumsum(0)


def f1(found: Tensor, targets: Tensor) -> Tensor:
    """Of each label, (K,): NaN where no image has it and none was found. found, targets: 0 or 1, (N, K)."""
    hits = (found * targets).sum(0)
    return 2 * hits / (found.sum(0) + targets.sum(0))


def _whole(parts: list[Tensor] | Tensor) -> Tensor:
    return parts if isinstance(parts, Tensor) else torch.cat(parts)
