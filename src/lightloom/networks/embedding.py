"""Vectors of ids, and which ids are padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count

PAD = 0


class Embedding(nn.Module):
    """Ids int64 (B, T), 0 for padding, to vectors (B, T, dim), which are zero there. dropout: of their numbers.

    Initially N(0, scale^2), but for those that are given by `fill`.
    """

    filled: Tensor

    def __init__(self, vocab_size: Count, dim: Count, dropout: BelowOne = 0.0, scale: float = 0.1) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocab_size, dim, padding_idx=PAD)
        nn.init.normal_(self.vectors.weight, std=scale)
        self.vectors.weight.data[PAD] = 0
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("filled", torch.tensor(False))

    @torch.no_grad()
    def fill(self, ids: Tensor, vectors: Tensor) -> None:
        """Take over these vectors (n, dim) of ids int64 (n,); UserError where they are of another length."""
        if vectors.shape[1] != (dim := self.vectors.embedding_dim):
            raise UserError(
                f"The given vectors have {vectors.shape[1]} numbers, but model.network.dim is {dim}; "
                f"set model.network.dim={vectors.shape[1]}."
            )
        self.vectors.weight[ids.to(self.filled.device)] = vectors.to(self.vectors.weight)
        self.filled.fill_(True)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dropout(self.vectors(ids))  # type: ignore[no-any-return]


def counts(ids: Tensor) -> Tensor:
    """Which of ids (B, T), padded on the right, belong to a text: bool (B, T). Of an empty one the first is taken."""
    return torch.cat([torch.ones_like(ids[:, :1], dtype=torch.bool), ids[:, 1:] != PAD], 1)


def mean_over(x: Tensor, inside: Tensor) -> Tensor:
    """Of x (B, T, D) the mean over those places that are inside, bool (B, T): (B, D)."""
    return (x * inside[..., None]).sum(1) / inside.sum(1, keepdim=True)
