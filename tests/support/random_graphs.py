"""Random graphs for tests, and what of them a slow reference needs."""

from __future__ import annotations

import torch
from torch import Tensor

from lightloom.data.graphs.graph import undirected


def random_graph(nodes: int = 40, edges: int = 80, seed: int = 0, features: int = 12) -> tuple[Tensor, Tensor]:
    """Features (N, F) in [0, 1], float64, and adjacency, CSR (N, N), float64, with nodes that have no neighbours."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(0, nodes - 3, (2, edges), generator=generator)
    values = torch.rand(nodes, features, generator=generator, dtype=torch.float64)
    return values, undirected(pairs, nodes)[0].double()


def path_graph(nodes: int) -> Tensor:
    """0 - 1 - 2 - ..., CSR, float64."""
    first = torch.arange(nodes - 1)
    return undirected(torch.stack([first, first + 1]), nodes)[0].double()


def laplacian(adjacency: Tensor) -> Tensor:
    """I - D^-1/2 A D^-1/2, dense, by its definition; the row of a node without neighbours is that of I."""
    dense = adjacency.to_dense()
    scale = dense.sum(1).pow(-0.5)
    scale[scale.isinf()] = 0
    return torch.eye(len(dense), dtype=dense.dtype) - scale[:, None] * dense * scale


def permuted(adjacency: Tensor, order: Tensor) -> Tensor:
    """The adjacency matrix of the same graph, whose i-th node is `order[i]` of the given one."""
    dense = adjacency.to_dense()[order][:, order]
    return undirected(dense.nonzero().T, len(order))[0].to(adjacency.dtype)
