"""Recurrent networks over texts: Elman's RNN (1990), LSTM (Hochreiter & Schmidhuber 1997; forget gates, Gers et al.
2000) and GRU (Cho et al. 2014).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.embedding import Embedding, counts, mean_over

CELLS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
Cell = Literal["rnn", "lstm", "gru"]
Pool = Literal["last", "max", "mean", "attention"]


class Recurrence(nn.Module):
    """Layers of a recurrent network over sequences that end at different places.

    x (B, T, in_features) and inside, bool (B, T), the first so many places, to states (B, T, F), and to the last state
    of each direction, (B, F). F is `width`, twice that with two directions. What comes after a sequence has no part in
    its states: the backward direction begins at its last place.
    """

    def __init__(
        self,
        in_features: Count,
        width: Count,
        cell: Cell = "lstm",
        layers: Count = 1,
        bidirectional: bool = False,
        dropout: BelowOne = 0.0,
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        self.out_features = directions * width
        sizes = [in_features, *[self.out_features] * (layers - 1)]
        self.layers = nn.ModuleList(
            nn.ModuleList(CELLS[cell](size, width, batch_first=True) for _ in range(directions)) for size in sizes
        )
        self.dropout = nn.Dropout(dropout)
        for name, values in self.named_parameters():
            if cell == "lstm" and "bias_ih" in name:
                values.data[width : 2 * width] = 1.0  # open forget gates (Jozefowicz et al. 2015)

    def forward(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        turned = reversal(inside)
        for depth, directions in enumerate(self.layers):
            x = self.dropout(x) if depth else x
            states = [directions[0](x)[0]]  # type: ignore[index]
            if len(directions) == 2:  # type: ignore[arg-type]
                states.append(rearranged(directions[1](rearranged(x, turned))[0], turned))  # type: ignore[index]
            x = torch.cat(states, 2)
        ends = inside.sum(1, keepdim=True) - 1
        last = [rearranged(states[0], ends)[:, 0], *(state[:, 0] for state in states[1:])]
        return x, torch.cat(last, 1)


class RecurrentClassifier(nn.Module):
    """Ids int64 (B, T), padded with 0 on the right, to logits (B, num_classes).

    pool: what is made of the states: the last of each direction, the largest or the mean of each feature, or their sum
    weighted by attention, softmax(w tanh(W h)) (Zhou et al. 2016). dropout: of the vectors, between layers, and before
    the head.
    """

    def __init__(
        self,
        vocab_size: Count,
        num_classes: Count,
        dim: Count = 128,
        width: Count = 128,
        cell: Cell = "lstm",
        layers: Count = 1,
        bidirectional: bool = False,
        pool: Pool = "max",
        dropout: BelowOne = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = Embedding(vocab_size, dim, dropout)
        self.recurrence = Recurrence(dim, width, cell, layers, bidirectional, dropout)
        features = self.recurrence.out_features
        self.pool = Pooling(pool, features)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(features, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        inside = counts(ids)
        states, last = self.recurrence(self.embedding(ids), inside)
        return self.head(self.dropout(self.pool(states, last, inside)))  # type: ignore[no-any-return]


class Pooling(nn.Module):
    """states (B, T, F), the last ones (B, F), and which places are inside, bool (B, T), to (B, F)."""

    def __init__(self, pool: Pool, features: Count) -> None:
        super().__init__()
        self.kind = pool
        if pool == "attention":
            self.score = nn.Sequential(nn.Linear(features, features), nn.Tanh(), nn.Linear(features, 1, bias=False))

    def forward(self, states: Tensor, last: Tensor, inside: Tensor) -> Tensor:
        if self.kind == "last":
            return last
        if self.kind == "mean":
            return mean_over(states, inside)
        if self.kind == "max":
            return states.masked_fill(~inside[..., None], -torch.inf).amax(1)
        weights = self.score(states).masked_fill(~inside[..., None], -torch.inf).softmax(1)
        return (weights * states).sum(1)  # type: ignore[no-any-return]


def reversal(inside: Tensor) -> Tensor:
    """For each place the one that a reversed sequence has there, int64 (B, T) of bool (B, T); outside, the same."""
    places = torch.arange(inside.shape[1], device=inside.device).expand_as(inside)
    return torch.where(inside, inside.sum(1, keepdim=True) - 1 - places, places)


def rearranged(x: Tensor, places: Tensor) -> Tensor:
    """Of x (B, T, F) the places int64 (B, T'), in their order: (B, T', F)."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[2]))
