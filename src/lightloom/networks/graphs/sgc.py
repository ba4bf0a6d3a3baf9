"""Simple graph convolution (Wu et al. 2019, Simplifying Graph Convolutional Networks)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as dropped

from lightloom.core.ranges import BelowOne, Count, Natural, checked
from lightloom.networks.graphs.gcn import glorot
from lightloom.networks.graphs.propagation import Graphs, Kept, Normalization


class SGC(nn.Module):
    """Logistic regression on P^hops X, equation 8: what a GCN is without its nonlinearities. P^hops X is made once."""

    @checked
    def __init__(
        self,
        num_features: Count,
        num_classes: Count,
        hops: Natural = 2,
        dropout: BelowOne = 0.0,
        normalization: Normalization = "symmetric",
        self_loops: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(num_features, num_classes, bias=bias)
        self.hops, self.dropout, self.graphs = hops, dropout, Graphs(normalization, self_loops)
        self._smoothed = Kept[Tensor]()
        glorot(self)

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """Logits (N, num_classes) of features (N, F), strided or CSR, and adjacency, CSR (N, N) without loops."""
        return self.states(features, adjacency)[-1]

    def states(self, features: Tensor, adjacency: Tensor) -> list[Tensor]:
        """The smoothed features (N, F), and the logits (N, num_classes)."""
        smoothed = self._smoothed.of((features, adjacency), lambda: self._smooth(features, adjacency))
        return [smoothed, self.layer(dropped(smoothed, self.dropout, self.training))]

    @torch.no_grad()
    def _smooth(self, features: Tensor, adjacency: Tensor) -> Tensor:
        p = self.graphs.propagation(adjacency)
        values = features.to_dense()
        for _ in range(self.hops):
            values = p @ values
        return values
