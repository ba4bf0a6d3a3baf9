"""Labels that a classifier's held-out predictions speak against: confident learning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Issue:
    """likely: the class that the model takes the example for. margin: how much surer it is of that."""

    index: int
    label: int
    likely: int
    margin: float


def confident_joint(probabilities: Tensor, labels: Tensor) -> Tensor:
    """How many examples of a given label (row) are confidently of a class (column): int64 (K, K).

    probabilities: (N, K), each of a model that was not trained on the example. labels: int64 (N,). An example counts
    for the likeliest of the classes whose threshold its probability reaches: the mean probability of that class over
    the examples labelled so.  Northcutt, Jiang & Chuang 2021, Confident Learning, equations 1 and 2.
    """
    classes = probabilities.shape[1]
    counted = _confident_class(probabilities, labels)
    sure = counted >= 0
    return (labels[sure] * classes + counted[sure]).bincount(minlength=classes**2).view(classes, classes)


def label_issues(probabilities: Tensor, labels: Tensor) -> list[Issue]:
    """Examples off the diagonal of the confident joint, the largest margin first (there, section 3.2).

    probabilities: (N, K); labels: int64 (N,). margin: the probability of the likely class less that of the label.
    """
    counted = _confident_class(probabilities, labels)
    wrong = ((counted >= 0) & (counted != labels)).nonzero().flatten()
    margins = probabilities[wrong, counted[wrong]] - probabilities[wrong, labels[wrong]]
    order = wrong[margins.argsort(descending=True, stable=True)]
    facts = (order.tolist(), labels[order].tolist(), counted[order].tolist(), margins.sort(descending=True)[0].tolist())
    return [Issue(*values) for values in zip(*facts, strict=True)]


def _confident_class(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The class that each example is confidently of, int64 (N,); -1 where it is of none."""
    classes = probabilities.shape[1]
    counts = labels.bincount(minlength=classes)
    own = probabilities.gather(1, labels[:, None]).flatten()
    sums = torch.zeros(classes, dtype=probabilities.dtype).scatter_add_(0, labels, own)
    thresholds = torch.where(counts > 0, sums / counts.clamp(min=1), torch.inf)  # a class that nobody has: never
    reached = torch.where(probabilities >= thresholds, probabilities, -1.0)
    best, place = reached.max(1)
    return torch.where(best >= 0, place, -1)
