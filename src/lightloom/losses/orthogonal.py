"""Regularise a generator's weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from lightloom.core.parts import part
from lightloom.core.ranges import NotNegative, checked


class GeneratorPenalty(Protocol):
    """A scalar for the generator to minimise, besides its loss."""

    def __call__(self, generator: nn.Module) -> Tensor: ...


@part
class OrthogonalRegularization:
    """weight * ||W W^T * (1 - I)||_F^2, a scalar, over all weight matrices W (outputs, inputs) but embeddings.

    It asks filters to be orthogonal and leaves their lengths. Under spectral norm it is of the weights before it.
    Brock et al. 2019, eq. 3.
    """

    @checked
    def __init__(self, weight: NotNegative = 1e-4) -> None:
        self.weight = weight

    def __call__(self, generator: nn.Module) -> Tensor:
        return self.weight * torch.stack([correlation(weight) for weight in matrices(generator)]).sum()


def matrices(network: nn.Module) -> Iterator[Tensor]:
    """The weights (outputs, ...) of linear layers and convolutions, trained or not."""
    embedded = {id(p) for part in network.modules() if isinstance(part, nn.Embedding) for p in part.parameters()}
    return (p for p in network.parameters() if p.ndim >= 2 and id(p) not in embedded)


def correlation(weight: Tensor) -> Tensor:
    """The sum of the squared inner products of different rows of a weight (outputs, ...); each pair counts twice."""
    rows = weight.flatten(1).float()
    products = rows @ rows.T
    return products.square().sum() - products.diagonal().square().sum()
