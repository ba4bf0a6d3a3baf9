"""Linear classification in closed form, to evaluate features that were learned without labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def linear_probe_accuracy(
    features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor, ridge: float = 1.0
) -> float:
    """Share of the test points of which the linear classifier that is fitted to the others says their label.

    features: (N, D), labels: (N,); test_features: (M, D), test_labels: (M,). ridge: see `fit`.
    """
    weight, bias = fit(features, labels, ridge)
    return float(((test_features.double() @ weight + bias).argmax(1) == test_labels).double().mean())


def fit(features: Tensor, labels: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The weight (D, K) and the bias (K,), float64, that minimise |X W + b - Y|^2 + ridge |W|^2.

    features: X (N, D), of which each column is taken in its own standard deviations; labels: (N,), one-hot Y. Hoerl &
    Kennard 1970, Ridge Regression.
    """
    x, y = features.double(), one_hot(labels).double()
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-12)
    x = (x - mean) / scale
    gram = x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(gram, x.T @ (y - y.mean(0))) / scale[:, None]
    return weight, y.mean(0) - mean @ weight
