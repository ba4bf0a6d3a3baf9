"""Readers of graphs: arrays of a .npz, a table of nodes and one of edges, and graphs that need no file."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.limits import MOST_BYTES, check_bytes, limit
from lightloom.core.parts import part
from lightloom.data.contract import SPLITS
from lightloom.data.graphs.graph import UNKNOWN, Graph, undirected

MOST_CLASSES = 1_000_000
DAMAGE = (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, RuntimeError, MemoryError, OverflowError)
NEEDED = {"x": "features (nodes, features)", "y": "labels (nodes,)", "edge_index": "edges (2, edges)"}


@part
class NpzGraph:
    """`root`/`name`.npz: x (N, F), y (N,) with -1 where unknown, edge_index (2, E), edges in one direction or both.

    It may have train_mask, val_mask and test_mask (N,), edge_weight (E,) and classes, names (K,).
    """

    def __init__(self, root: str, name: str) -> None:
        self.path = Path(root, f"{name}.npz")

    def read(self) -> Graph:
        """The graph, undirected. Raises UserError where an array is missing, or of another shape, type or range."""
        arrays = read_arrays(self.path)
        if missing := [f"{key}, {what}" for key, what in NEEDED.items() if key not in arrays]:
            raise UserError(f"{self.path}: has no {'; '.join(missing)}; it has {', '.join(arrays) or 'nothing'}.")
        y = _whole(self.path, "y", arrays["y"], UNKNOWN, MOST_CLASSES - 1)
        count = y.numel()
        x = _numbers(self.path, "x", arrays["x"])
        if x.ndim != 2 or len(x) != count or not len(x) or not x.isfinite().all():
            raise UserError(f"{self.path}: x is {tuple(x.shape)}; expected finite numbers ({count}, features).")
        edges = _whole(self.path, "edge_index", arrays["edge_index"], 0, count - 1)
        if edges.ndim != 2 or len(edges) != 2 or y.ndim != 1:
            raise UserError(
                f"{self.path}: edge_index is {tuple(edges.shape)} and y {tuple(y.shape)}; expected (2, E), (N,)."
            )
        adjacency, notes = _undirected(self.path, edges, count, self._weights(arrays, edges.shape[1]))
        classes = self._classes(arrays, int(y.max()) + 1)
        if int(y.max()) >= len(classes):
            raise UserError(f"{self.path}: y goes up to {int(y.max())}, but there are {len(classes)} classes.")
        return Graph(x, adjacency, y, classes, self._parts(arrays, y), notes=notes)

    def _classes(self, arrays: Mapping[str, Any], count: int) -> list[str]:
        if "classes" not in arrays:
            return list(map(str, range(count)))
        if arrays["classes"].ndim != 1:
            raise UserError(f"{self.path}: classes is {arrays['classes'].shape}; expected names (classes,).")
        return [str(name) for name in arrays["classes"]]

    def _weights(self, arrays: Mapping[str, Any], count: int) -> Tensor | None:
        if "edge_weight" not in arrays:
            return None
        weights = _numbers(self.path, "edge_weight", arrays["edge_weight"])
        if weights.shape != (count,) or not (weights.isfinite() & (weights > 0)).all():
            raise UserError(f"{self.path}: edge_weight {tuple(weights.shape)}: expected {count} numbers above 0.")
        return weights

    def _parts(self, arrays: Mapping[str, Any], labels: Tensor) -> dict[str, Tensor]:
        masks = {name: arrays[f"{name}_mask"] for name in SPLITS if f"{name}_mask" in arrays}
        for name, mask in masks.items():
            if mask.dtype != bool or mask.shape != (len(labels),):
                raise UserError(
                    f"{self.path}: {name}_mask is {mask.dtype} {mask.shape}; expected bool ({len(labels)},)."
                )
        return {name: torch.from_numpy(mask).nonzero().flatten() for name, mask in masks.items()}


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of a .npz, none of which is an object; their bytes are bounded before one is read."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; put the graph there, or set data.root=<folder>.")
    check_bytes(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > (most := limit(MOST_BYTES)):
            raise UserError(f"{path}: holds {size:,} bytes, more than {most:,}; set {MOST_BYTES}={size} to allow them.")
        with np.load(path, allow_pickle=False) as file:
            return {key: _native(file[key]) for key in file}
    except (*DAMAGE, SyntaxError, zipfile.BadZipFile, zlib.error, struct.error) as error:  # as NumPy raises them
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: is no .npz of plain arrays ({said[:200]}); write it with numpy.savez.") from error


def _native(values: Any) -> Any:
    """An array in this machine's order of bytes, without which torch does not take it."""
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))


def _numbers(path: Path, name: str, values: Any) -> Tensor:
    """As float; UserError where they are no real numbers."""
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise UserError(f"{path}: {name} is of type {values.dtype}; expected numbers.")
    return torch.from_numpy(values.astype(np.float32))


def _whole(path: Path, name: str, values: Any, low: int, high: int | None) -> Tensor:
    """As int64; UserError where one is no whole number from `low` to `high`."""
    if not np.issubdtype(values.dtype, np.integer):
        raise UserError(f"{path}: {name} is of type {values.dtype}; expected whole numbers.")
    found = torch.from_numpy(values.astype(np.int64))
    if found.numel() and (int(found.min()) < low or (high is not None and int(found.max()) > high)):
        to = "" if high is None else f" to {high}"
        raise UserError(f"{path}: {name} has {int(found.min())} to {int(found.max())}; expected from {low}{to}.")
    return found


def _undirected(path: Path, edges: Tensor, count: int, weights: Tensor | None) -> tuple[Tensor, list[str]]:
    try:
        return undirected(edges, count, weights)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
