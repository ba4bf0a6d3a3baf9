"""Attention of several heads (Vaswani et al. 2017, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lightloom.core.errors import UserError
from lightloom.networks.transformer.positions import Rotary


def attention_weights(query: Tensor, key: Tensor, seen: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d)), eq. 1: queries (..., T, d) and keys (..., S, d) to (..., T, S), rows that sum to 1.

    seen: bool (..., T, S), the keys that a query may look at; the weights of others are 0, and all of them where it may
    look at none.
    """
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if seen is None:
        return scores.softmax(-1)
    return scores.masked_fill(~seen, -math.inf).softmax(-1).nan_to_num()


def causal(count: int, start: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Which of all `start + count` places each of the last `count` sees: itself and those before, bool (count, all)."""
    return torch.ones(count, start + count, dtype=torch.bool, device=device).tril(start)


class Cache:
    """Keys and values of the places that an attention has seen, (B, heads, T, d) each: they need not be made again."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.keys is None else self.keys.shape[2]

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All of them, with these after those before."""
        if self.keys is not None and self.values is not None:
            keys, values = torch.cat([self.keys, keys], 2), torch.cat([self.values, values], 2)
        self.keys, self.values = keys, values
        return keys, values


class MultiHeadAttention(nn.Module):
    """Each head attends in a subspace of its own (section 3.2.2): x (B, T, dim) to (B, T, dim).

    is_causal: a place sees itself and those before. dropout: of the weights. rotary: turns queries and keys.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        is_causal: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        rotary: Rotary | None = None,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise UserError(f"model.network.dim {dim} is not divisible by {heads} heads; set model.network.heads.")
        self.heads, self.is_causal, self.dropout, self.rotary = heads, is_causal, dropout, rotary
        self.projections = nn.Linear(dim, 3 * dim, bias)  # queries, keys, values
        self.out = nn.Linear(dim, dim, bias)

    def forward(self, x: Tensor, seen: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """seen: bool, of a shape that broadcasts to (B, heads, T, S): keys that may be looked at, beside `is_causal`.

        cache: what was seen before x, and what has been afterwards.
        """
        start = 0 if cache is None else len(cache)
        query, key, value = self.heads_of(self.projections(x), 3)
        if self.rotary is not None:
            query, key = self.rotary(query, start), self.rotary(key, start)
        if cache is not None:
            key, value = cache.extend(key, value)
        return self.merged(self.attend(query, key, value, seen, start))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, start: int) -> Tensor:
        """(B, heads, T, d) of queries at the places from `start` on."""
        dropout = self.dropout if self.training else 0.0
        if self.is_causal and (seen is not None or (start and query.shape[2] > 1)):
            before = causal(query.shape[2], start, query.device)
            seen = before if seen is None else seen & before
        whole = self.is_causal and seen is None and not start
        return scaled_dot_product_attention(query, key, value, seen, dropout, is_causal=whole)

    def heads_of(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, T, parts * dim) as so many of (B, heads, T, d)."""
        return tuple(x.unflatten(2, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0))

    def merged(self, x: Tensor) -> Tensor:
        """The output of all heads, (B, heads, T, d), as (B, T, dim)."""
        return self.out(x.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]
