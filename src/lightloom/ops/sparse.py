"""Sparse matrices in compressed rows (CSR), whose products repeat bit for bit where those by scattering do not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

HAS_CSR = torch.backends.mkl.is_available()  # CSR products on a CPU need it; without, coordinates do


def csr(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """A CSR matrix of entries that are sorted by row and column, each place once: all (nnz,), places int64."""
    starts = torch.cat([rows.new_zeros(1), rows.bincount(minlength=size[0]).cumsum(0)])
    return with_values(starts, columns, values, size)


def with_values(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """As torch.sparse_csr_tensor, which says that it is young: starts (M + 1,), columns and values (nnz,)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False)


def of_dense(matrix: Tensor) -> Tensor:
    """The CSR matrix of what is not 0 in (M, N)."""
    rows, columns = matrix.nonzero(as_tuple=True)
    return csr(rows, columns, matrix[rows, columns], (matrix.shape[0], matrix.shape[1]))


def rows_of(matrix: Tensor) -> Tensor:
    """The row of each entry of a CSR matrix, int64 (nnz,)."""
    counts = matrix.crow_indices().diff()
    return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)


@dataclass(frozen=True)
class Operand:
    """A constant matrix (M, N) for products that are differentiated by their other factor.

    matrix: CSR. transposed: CSR too, which spares each backward pass the transposition. order: of the matrix's values
    in the transposed one, int64 (nnz,).
    """

    matrix: Tensor
    transposed: Tensor
    order: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> Operand:
        """Of a CSR matrix (M, N)."""
        columns, rows = matrix.col_indices(), rows_of(matrix)
        order = (columns * matrix.shape[0] + rows).argsort()
        transposed = csr(columns[order], rows[order], matrix.values()[order], (matrix.shape[1], matrix.shape[0]))
        return cls(matrix, transposed, order)

    def with_values(self, values: Tensor) -> Operand:
        """Other values (nnz,) in the same places."""
        both = ((self.matrix, values), (self.transposed, values[self.order]))
        made = [with_values(m.crow_indices(), m.col_indices(), v, (m.shape[0], m.shape[1])) for m, v in both]
        return Operand(made[0], made[1], self.order)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """(M, K) for (N, K), in the precision of the matrix: sparse products have no half."""
        with torch.autocast(dense.device.type, enabled=False):
            values = dense.to(self.matrix.dtype)
            return _Product.apply(self.matrix, self.transposed, values)  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
        ctx.transposed = transposed
        return _times(matrix, dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _times(ctx.transposed, gradient)


def _times(matrix: Tensor, dense: Tensor) -> Tensor:
    by_rows = HAS_CSR or matrix.device.type != "cpu"
    return (matrix if by_rows else matrix.to_sparse_coo()) @ dense
