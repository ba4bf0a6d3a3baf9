"""TextCNN: filters over a few words each, and the largest answer of each (Kim 2014, section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad

from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.embedding import PAD, Embedding


class TextCNN(nn.Module):
    """Ids int64 (B, T), padded with 0, to logits (B, num_classes).

    widths: words that a filter sees; filters: of each width. A filter is asked wherever it sees a word or more.
    """

    def __init__(
        self,
        vocab_size: Count,
        num_classes: Count,
        dim: Count = 128,
        widths: Sequence[Count] = (3, 4, 5),
        filters: Count = 100,
        dropout: BelowOne = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = Embedding(vocab_size, dim)
        self.filters = nn.ModuleList(nn.Conv1d(dim, filters, width, padding=width - 1) for width in widths)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(len(widths) * filters, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        x, inside = self.embedding(ids).transpose(1, 2), (ids != PAD).float()
        largest = [_largest(one, x, inside) for one in self.filters]
        return self.head(self.dropout(torch.cat(largest, 1)))  # type: ignore[no-any-return]


def _largest(filters: nn.Module, x: Tensor, inside: Tensor) -> Tensor:
    """Over the places of x (B, D, T), where inside (B, T) is 1: (B, filters)."""
    (width,) = filters.kernel_size  # type: ignore[misc]
    seen = max_pool1d(pad(inside[:, None], (width - 1, width - 1)), width, stride=1)
    return (filters(x).relu() * seen).amax(2)  # type: ignore[no-any-return]
