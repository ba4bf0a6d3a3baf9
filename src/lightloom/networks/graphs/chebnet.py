"""ChebNet (Defferrard, Bresson & Vandergheynst 2016, Convolutional Neural Networks on Graphs with Fast Localized
Spectral Filtering), with the layers and the training of Kipf & Welling 2017."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn

from lightloom.core.ranges import BelowOne, Count, Natural, checked
from lightloom.networks.graphs.gcn import GraphNetwork, glorot, sizes_of_layers
from lightloom.networks.graphs.propagation import Graphs
from lightloom.ops.sparse import Operand


class ChebNet(GraphNetwork):
    """Layers H <- sum_k T_k(L~) H Theta_k, k = 0 ... order, with ReLU between them: equation 4 of both papers.

    L~ = 2 L / lambda_max - I with L = I - D^-1/2 A D^-1/2, whose eigenvalues are in [0, 2]. dropout: of each layer's
    input, that of the features too.
    """

    @checked
    def __init__(
        self,
        num_features: Count,
        num_classes: Count,
        width: Count = 16,
        depth: Count = 2,
        order: Natural = 2,
        lambda_max: Annotated[float, Gt(0)] = 2.0,
        dropout: BelowOne = 0.5,
        bias: bool = False,
    ) -> None:
        super().__init__()
        sizes = sizes_of_layers(num_features, num_classes, width, depth)
        self.layers = nn.ModuleList(ChebLayer(i, o, order, lambda_max, bias) for i, o in sizes)
        self.dropout, self.graphs = dropout, Graphs("symmetric", self_loops=False)
        glorot(self)


class ChebLayer(nn.Module):
    """One filter for each pair of channels, a polynomial of degree `order` in L~."""

    def __init__(self, in_features: int, out_features: int, order: int, lambda_max: float, bias: bool) -> None:
        super().__init__()
        self.thetas = nn.ModuleList(
            nn.Linear(in_features, out_features, bias=bias and k == 0) for k in range(order + 1)
        )
        self.lambda_max = lambda_max

    def forward(self, hidden: Tensor | Operand, p: Operand) -> Tensor:
        """(N, out) of hidden (N, in); p: D^-1/2 A D^-1/2.

        By Clenshaw's recurrence, b_k = H Theta_k + 2 L~ b_k+1 - b_k+2, whose products are as narrow as the output.
        """
        terms = [hidden @ theta.weight.T for theta in self.thetas]  # type: ignore[operator]
        bias = self.thetas[0].bias
        later, last = 0.0 * terms[0], 0.0 * terms[0]
        for term in reversed(terms[1:]):
            later, last = term + 2 * self._scaled(later, p) - last, later
        found = terms[0] + self._scaled(later, p) - last
        return found if bias is None else found + bias  # type: ignore[operator]

    def _scaled(self, values: Tensor, p: Operand) -> Tensor:
        """L~ values."""
        return (2 / self.lambda_max - 1) * values - 2 / self.lambda_max * (p @ values)
