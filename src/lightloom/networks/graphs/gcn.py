"""Graph convolutional network (Kipf & Welling 2017, Semi-Supervised Classification with Graph Convolutional
Networks)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from torch import Tensor, nn

from lightloom.core.ranges import BelowOne, Count, checked
from lightloom.networks.graphs.propagation import Graphs, Normalization, dropped
from lightloom.ops.sparse import Operand


class GraphNetwork(nn.Module):
    """Layers that see their neighbours through `graphs`, with dropout of each one's input."""

    layers: nn.ModuleList
    graphs: Graphs
    dropout: float

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """Logits (N, num_classes) of features (N, F), strided or CSR, and adjacency, CSR (N, N) without loops."""
        return self.states(features, adjacency)[-1]

    def states(self, features: Tensor, adjacency: Tensor) -> list[Tensor]:
        """What each layer gives, (N, width), after its ReLU; last the logits (N, num_classes)."""
        inputs, p = self.graphs.features(features), self.graphs.propagation(adjacency)
        return states(self.layers, inputs, p, self.dropout if self.training else 0.0)


class GCN(GraphNetwork):
    """`depth` layers H <- P H W with ReLU between them, equation 2; P as `propagation` makes it of the adjacency.

    dropout: of each layer's input, that of the features too.
    """

    @checked
    def __init__(
        self,
        num_features: Count,
        num_classes: Count,
        width: Count = 16,
        depth: Count = 2,
        dropout: BelowOne = 0.5,
        normalization: Normalization = "symmetric",
        self_loops: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        sizes = sizes_of_layers(num_features, num_classes, width, depth)
        self.layers = nn.ModuleList(GCNLayer(i, o, bias=bias) for i, o in sizes)
        self.dropout, self.graphs = dropout, Graphs(normalization, self_loops)
        glorot(self)


class GCNLayer(nn.Linear):
    """The mean over neighbours of a linear map, in the order that costs less: it is narrower than its input."""

    def __init__(self, in_features: Count, out_features: Count, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)

    def forward(self, hidden: Tensor | Operand, p: Operand) -> Tensor:  # type: ignore[override]
        """(N, out) of hidden (N, in)."""
        found = p @ (hidden @ self.weight.T)
        return found if self.bias is None else found + self.bias


def sizes_of_layers(num_features: int, num_classes: int, width: int, depth: int) -> list[tuple[int, int]]:
    """(in, out) of each of `depth` layers."""
    sizes = [num_features, *[width] * (depth - 1), num_classes]
    return list(pairwise(sizes))


def states(layers: Iterable[nn.Module], hidden: Tensor | Operand, p: Operand, dropout: float) -> list[Tensor]:
    """What each layer gives, (N, out), after dropout of its input and, but for the last, ReLU; hidden: (N, in)."""
    *inner, last = layers
    found: list[Tensor] = []
    for layer in inner:
        found.append(layer(dropped(hidden, dropout), p).relu())
        hidden = found[-1]
    return [*found, last(dropped(hidden, dropout), p)]


def glorot(network: nn.Module) -> None:
    """Weights uniform by Glorot & Bengio 2010, biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
