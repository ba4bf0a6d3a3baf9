"""Attention of several heads (Vaswani et al. 2017, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lightloom.core.errors import UserError
from lightloom.networks.keyed_dropout import KeyedDropout
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

    def pick(self, rows: Tensor) -> None:
        """Go on with these rows of the batch, int64 (B',)."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]


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
        check_heads(dim, heads)
        self.heads, self.is_causal, self.dropout, self.rotary = heads, is_causal, nn.Dropout(dropout), rotary
        self.projections = nn.Linear(dim, 3 * dim, bias)  # queries, keys, values
        self.out = nn.Linear(dim, dim, bias)

    def forward(self, x: Tensor, seen: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """seen: bool, of a shape that broadcasts to (B, heads, T, S): keys that may be looked at, beside `is_causal`.

        cache: what was seen before x, and what has been afterwards.
        """
        start = 0 if cache is None else len(cache)
        query, key, value = heads_of(self.projections(x), 3, self.heads)
        if self.rotary is not None:
            query, key = self.rotary(query, start), self.rotary(key, start)
        if cache is not None:
            key, value = cache.extend(key, value)
        return self.out(merged(self.attend(query, key, value, seen, start)))  # type: ignore[no-any-return]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, start: int) -> Tensor:
        """(B, heads, T, d) of queries at the places from `start` on."""
        if self.is_causal and (seen is not None or (start and query.shape[2] > 1)):
            before = causal(query.shape[2], start, query.device)
            seen = before if seen is None else seen & before
        whole = self.is_causal and seen is None and not start
        return attended(query, key, value, seen, self.dropout, whole)


class CrossAttention(nn.Module):
    """The places of one sequence look at those of another (section 3.2.3): x (B, T, dim) to (B, T, dim)."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.queries = nn.Linear(dim, dim, bias)
        self.projections = nn.Linear(dim, 2 * dim, bias)  # keys, values
        self.out = nn.Linear(dim, dim, bias)

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, S, d) of what is looked at, (B, S, dim): they need not be made again."""
        key, value = heads_of(self.projections(memory), 2, self.heads)
        return key, value

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        """memory: of `remember`. seen: bool (B, 1, 1, S), what may be looked at."""
        (query,) = heads_of(self.queries(x), 1, self.heads)
        return self.out(merged(attended(query, *memory, seen, self.dropout)))  # type: ignore[no-any-return]

    def weights(self, x: Tensor, memory: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        """How much each place of x looks at each of the other sequence, by each head: (B, heads, T, S)."""
        (query,) = heads_of(self.queries(x), 1, self.heads)
        return attention_weights(query, memory[0], seen)


def attended(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, dropout: nn.Dropout, is_causal: bool = False
) -> Tensor:
    """What queries (..., T, d) find, (..., T, d), in values by keys (..., S, d); dropout: of the weights.

    seen: as in `attention_weights`. is_causal: each sees itself and those before. One kernel does it all, but where the
    weights are dropped by keys.
    """
    if isinstance(dropout, KeyedDropout) and dropout.is_keyed:
        before = causal(query.shape[-2], device=query.device) if is_causal else seen
        return dropout(attention_weights(query, key, before)) @ value  # type: ignore[no-any-return]
    rate = dropout.p if dropout.training else 0.0
    return scaled_dot_product_attention(query, key, value, seen, rate, is_causal=is_causal)


def check_heads(dim: int, heads: int) -> None:
    """Raise UserError where the heads cannot share the values of a place evenly."""
    if dim % heads:
        raise UserError(f"model.network.dim {dim} is not divisible by {heads} heads; set model.network.heads.")


def heads_of(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(B, T, parts * dim) as so many of (B, heads, T, d)."""
    return tuple(x.unflatten(2, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0))


def merged(x: Tensor) -> Tensor:
    """The output of all heads, (B, heads, T, d), as (B, T, dim)."""
    return x.transpose(1, 2).flatten(2)
