"""Class balance and confidence of a classifier on generated images."""

from __future__ import annotations

from torch import Tensor


def class_counts(probabilities: Tensor) -> Tensor:
    """How many images are most probably of each class. (N, num_classes) -> int64 (num_classes,)."""
    return probabilities.argmax(1).bincount(minlength=probabilities.shape[1])


def smallest_class_share(probabilities: Tensor) -> float:
    """Share of the rarest class among N images; 0 where one is missing. probabilities: (N, num_classes)."""
    return float(class_counts(probabilities).min()) / len(probabilities)


def confidence(probabilities: Tensor) -> float:
    """Mean of the largest probability, in [1 / num_classes, 1]. probabilities: (N, num_classes)."""
    return float(probabilities.double().max(1).values.mean())
