"""Nearest-neighbour classification, to evaluate features that were learned without labels."""

from __future__ import annotations

import torch
from torch import Tensor

from lightloom.metrics.pairwise import in_pieces


def nearest_neighbour_accuracy(features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor) -> float:
    """Share of the test points whose nearest training point, by Euclidean distance, has their label.

    features: (N, D), labels: (N,); test_features: (M, D), test_labels: (M,).
    Donahue et al. 2017, Adversarial Feature Learning, section 4.2.
    """
    nearest = torch.cat([d.argmin(1) for d in in_pieces(test_features, features)])
    return float((labels[nearest] == test_labels).double().mean())
