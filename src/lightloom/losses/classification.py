"""Cross-entropy for classes that are not alike: weighted, focused on what is hard, smoothed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from lightloom.core.errors import UserError


def balanced_weights(counts: Tensor) -> Tensor:
    """N / (K n_k): with these weights each class weighs the same in all of the training data, and their mean is one.

    counts: samples of each class, (K,). King & Zeng 2001, Logistic Regression in Rare Events Data, section 4.1. Raises
    UserError for a class without any.
    """
    if not counts.all():
        lacking = (counts == 0).nonzero().flatten().tolist()
        raise UserError(f"model.class_weights=balanced: no training sample has class {lacking[0]}; give a list.")
    return counts.sum() / (len(counts) * counts.float())


def focal_cross_entropy(
    logits: Tensor, labels: Tensor, gamma: float, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """-sum_k w_k q_k (1 - p_k)^gamma log p_k in nats, per sample.

    logits (B, K); labels int64 (B,), or the distribution q, (B, K); weights (K,), one each by default. Returns (B,).
    gamma 0 is cross-entropy.  Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5.
    """
    classes = logits.shape[1]
    truth = one_hot(labels, classes).to(logits.dtype) if labels.ndim == 1 else labels
    truth = truth * (1 - label_smoothing) + label_smoothing / classes
    log_p = logits.log_softmax(1)
    cost = -truth * log_p * (1 - log_p.exp()).clamp(min=0) ** gamma
    return (cost if weights is None else cost * weights).sum(1)


class CrossEntropy(nn.Module):
    """The mean over a batch of the cross-entropy, in nats. Options as in `focal_cross_entropy`.

    The mean is over samples, not over weights: so the mean over processes is that of the whole batch.
    """

    weights: Tensor | None

    def __init__(self, label_smoothing: float = 0.0, gamma: float = 0.0, weights: Tensor | None = None) -> None:
        super().__init__()
        self.label_smoothing, self.gamma = label_smoothing, gamma
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits (B, K); labels int64 (B,) or soft (B, K). Returns ()."""
        if self.gamma == 0 and self.weights is None:
            return cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return focal_cross_entropy(logits, labels, self.gamma, self.weights, self.label_smoothing).mean()


def class_counts(labels: Tensor, num_classes: int) -> Tensor:
    """int64 (num_classes,) of labels int64 (N,)."""
    return torch.bincount(labels, minlength=num_classes)
