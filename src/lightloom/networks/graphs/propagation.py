"""The matrix by which a layer averages over neighbours (Kipf & Welling 2017, section 2.2), and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import dropout

from lightloom.ops.sparse import Operand, csr, rows_of

Normalization = Literal["symmetric", "random_walk", "none"]
Made = TypeVar("Made")
MOST_KEPT = 3


def propagation(adjacency: Tensor, normalization: Normalization = "symmetric", self_loops: bool = True) -> Tensor:
    """P, CSR (N, N), of a symmetric adjacency matrix A, CSR (N, N) without loops: A' = A + I with `self_loops`, else A.

    D is the diagonal matrix of the row sums of A'. symmetric: D^-1/2 A' D^-1/2, the paper's equation 2 with its
    renormalization trick; random_walk: D^-1 A', whose rows sum to 1; none: A'. The row of a node without neighbours and
    loops is 0.
    """
    count = adjacency.shape[0]
    rows, columns, values = rows_of(adjacency), adjacency.col_indices(), adjacency.values()
    if self_loops:
        nodes = torch.arange(count, device=rows.device)
        rows, columns = torch.cat([rows, nodes]), torch.cat([columns, nodes])
        order = (rows * count + columns).argsort()
        values = torch.cat([values, values.new_ones(count)])[order]
        rows, columns = rows[order], columns[order]
    degrees = torch.zeros(count, dtype=torch.float64, device=rows.device).index_add_(0, rows, values.double())
    if normalization == "symmetric":
        scale = _inverse(degrees.sqrt())
        values = (values * scale[rows] * scale[columns]).to(values.dtype)
    elif normalization == "random_walk":
        values = (values * _inverse(degrees)[rows]).to(values.dtype)
    return csr(rows, columns, values, (count, count))


def _inverse(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1 / values, 0)


class Kept(Generic[Made]):
    """What was made of constant tensors, kept for the last few that were asked for: those of training and evaluation.

    A copy of it is empty.
    """

    def __init__(self) -> None:
        self._found: list[tuple[tuple[Tensor, ...], Made]] = []

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()

    def of(self, tensors: tuple[Tensor, ...], make: Callable[[], Made]) -> Made:
        """What `make` gives for these very tensors: features (N, F), adjacency (N, N)."""
        for known, made in self._found:
            if all(a is b for a, b in zip(known, tensors, strict=True)):
                return made
        self._found = [(tensors, make()), *self._found[: MOST_KEPT - 1]]
        return self._found[0][1]


class Graphs:
    """Operands for the products of a network: of its features, and of the propagation matrix of its adjacency."""

    def __init__(self, normalization: Normalization, self_loops: bool) -> None:
        self.normalization, self.self_loops = normalization, self_loops
        self._features, self._propagation = Kept[Operand](), Kept[Operand]()

    def features(self, features: Tensor) -> Tensor | Operand:
        """CSR features (N, F) as an operand; others as they are."""
        if features.layout != torch.sparse_csr:
            return features
        return self._features.of((features,), lambda: Operand.of(features))

    def propagation(self, adjacency: Tensor) -> Operand:
        """P (N, N) of an adjacency matrix, CSR (N, N)."""

        def make() -> Operand:
            return Operand.of(propagation(adjacency, self.normalization, self.self_loops))

        return self._propagation.of((adjacency,), make)


def dropped(features: Tensor | Operand, p: float) -> Tensor | Operand:
    """Dropout of (N, F) (Srivastava et al. 2014): 0 stays 0, so only the values of a sparse matrix are drawn for."""
    if p == 0:
        return features
    if isinstance(features, Operand):
        return features.with_values(dropout(features.matrix.values(), p))
    return dropout(features, p)
