"""A bag of words: the mean of their vectors, whatever their order (Joulin et al. 2017, Bag of Tricks)."""

from __future__ import annotations

from torch import Tensor, nn

from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.embedding import Embedding, counts, mean_over


class BagOfWords(nn.Module):
    """Ids int64 (B, T), padded with 0, to logits (B, num_classes); any order of the ids gives the same bits."""

    def __init__(self, vocab_size: Count, num_classes: Count, dim: Count = 128, dropout: BelowOne = 0.5) -> None:
        super().__init__()
        self.embedding = Embedding(vocab_size, dim)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(dim, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids.sort(1, descending=True).values  # sums depend on their order, if by a last bit only
        return self.head(self.dropout(mean_over(self.embedding(ids), counts(ids))))  # type: ignore[no-any-return]
