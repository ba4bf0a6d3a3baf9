"""Classes as a network takes them: a vector for each, and how often each occurs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightloom.core.ranges import Count
from lightloom.ops.rng import latent_classes


class ClassEmbedding(nn.Embedding):
    """Labels, int64 (B,), -> (B, embedding_dim); of weights of classes, float (B, num_classes), the weighted sum.

    shares: of the classes in the data, (num_classes,), which sum to 1; a buffer.
    """

    shares: Tensor

    def __init__(self, num_classes: Count, embedding_dim: Count) -> None:
        super().__init__(num_classes, embedding_dim)
        self.register_buffer("shares", torch.full((num_classes,), 1 / num_classes))

    def forward(self, labels: Tensor) -> Tensor:
        return labels.to(self.weight.dtype) @ self.weight if labels.is_floating_point() else super().forward(labels)

    def count(self, labels: Tensor) -> None:
        """Take the shares from the labels of a training set, int64 (N,)."""
        counts = torch.bincount(labels.flatten(), minlength=len(self.shares))
        self.shares.copy_(counts / counts.sum())

    def draw(self, z: Tensor) -> Tensor:
        """A class for each latent (B, latent_dim), int64 (B,): a function of its values, in the data's shares."""
        return latent_classes(z, self.shares)
