"""A graph as its readers give it: undirected, each edge once in either direction, no loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.text import first_of
from lightloom.ops import sparse

UNKNOWN = -1  # the label of a node of which none is known
SPARSE_BELOW = 0.1  # share of features that are not 0, from which on they are kept as a CSR matrix


@dataclass(frozen=True)
class Graph:
    """An undirected graph of N nodes.

    features: float (N, F), strided or CSR. adjacency: CSR (N, N), symmetric, of positive weights, without loops.
    labels: int64 (N,), -1 where unknown. parts: the nodes of train, val and test, int64 (n,) each, where the data says
    so. columns: names of the features. notes: what was mended or left out.
    """

    features: Tensor
    adjacency: Tensor
    labels: Tensor
    classes: Sequence[str]
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    names: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, node: int) -> str:
        return self.names[node] if self.names else str(node)

    def without(self, hidden: Tensor) -> Graph:
        """The same nodes, of which those that are `hidden`, bool (N,), have neither neighbours nor features."""
        rows, columns = sparse.rows_of(self.adjacency), self.adjacency.col_indices()
        kept = ~(hidden[rows] | hidden[columns])
        adjacency = sparse.csr(rows[kept], columns[kept], self.adjacency.values()[kept], (len(self), len(self)))
        return replace(self, features=_without_rows(self.features, hidden), adjacency=adjacency)


def _without_rows(features: Tensor, hidden: Tensor) -> Tensor:
    if features.layout == torch.strided:
        return features * ~hidden[:, None]
    rows = sparse.rows_of(features)
    kept = ~hidden[rows]
    size = (features.shape[0], features.shape[1])
    return sparse.csr(rows[kept], features.col_indices()[kept], features.values()[kept], size)


def undirected(edges: Tensor, count: int, weights: Tensor | None = None) -> tuple[Tensor, list[str]]:
    """The adjacency matrix, CSR (count, count), of edges int64 (2, E) in one direction or both, and what was mended.

    weights: float (E,), 1 where None. Loops are left out, for a model adds its own, and so is all that is there twice.
    Raises UserError where an edge has two weights.
    """
    given = torch.ones(edges.shape[1]) if weights is None else weights.float()
    loops = edges[0] == edges[1]
    edges, given = edges[:, ~loops], given[~loops]
    directed = (edges[0] * count + edges[1]).unique()
    low, high = edges.min(0).values, edges.max(0).values
    keys, inverse = (low * count + high).unique(return_inverse=True)
    values = torch.zeros(len(keys)).index_copy_(0, inverse, given)
    if (wrong := (values[inverse] != given).nonzero()).numel():
        first = edges[:, wrong[0, 0]].tolist()
        raise UserError(f"the edge of nodes {first[0]} and {first[1]} has two weights; give each edge one.")
    rows, columns = torch.cat([keys // count, keys % count]), torch.cat([keys % count, keys // count])
    order = (rows * count + columns).argsort()
    adjacency = sparse.csr(rows[order], columns[order], values.repeat(2)[order], (count, count))
    one_way = 2 * len(keys) - len(directed)
    found = {
        "loops left out": int(loops.sum()),
        "edges that were there twice": edges.shape[1] - len(directed),
        "edges in one direction that were given the other": one_way % len(keys) if len(keys) else 0,  # or all are
        "nodes without neighbours": int((adjacency.crow_indices().diff() == 0).sum()),
    }
    notes = [f"{len(keys):,} edges", *(f"{n:,} {what}" for what, n in found.items() if n)]
    return adjacency, notes


def with_columns(graph: Graph, known: Sequence[str], name: str) -> Graph:
    """The features in the order of these names; UserError where one is missing. Others are left out."""
    own = list(graph.columns or ())
    if missing := [column for column in known if column not in own]:
        raise UserError(f"{name} has no feature {missing[0]}, which the model knows; it has {first_of(own, 5)}.")
    return replace(graph, features=graph.features[:, [own.index(column) for column in known]], columns=list(known))


def with_classes(graph: Graph, known: Sequence[str], name: str) -> Graph:
    """Labels numbered as these classes are; UserError where one is not among them."""
    if strange := [own for own in graph.classes if own not in known]:
        raise UserError(
            f"{name} has classes that the model does not know: {first_of(strange, 5)}; it knows {first_of(known, 5)}. "
            f"Rename them, or leave their labels empty."
        )
    numbers = torch.tensor([*(known.index(own) for own in graph.classes), UNKNOWN])
    return replace(graph, labels=numbers[graph.labels], classes=list(known))


def rows_to_one(features: Tensor) -> Tensor:
    """Each row divided by its sum, as bags of words are (Kipf & Welling 2017, section 5.2); rows of 0 stay."""
    sums = features.sum(1, keepdim=True)
    return features / torch.where(sums == 0, 1, sums)


def compact(features: Tensor) -> Tensor:
    """Features (N, F) as a CSR matrix, where few are not 0."""
    few = int(features.count_nonzero()) < SPARSE_BELOW * features.numel()
    return sparse.of_dense(features) if few else features
