"""A graph as two tables: nodes.csv and edges.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightloom.core import cells
from lightloom.core.errors import UserError, did_you_mean
from lightloom.core.limits import reading
from lightloom.core.parts import part
from lightloom.core.text import first_of
from lightloom.data.contract import SPLITS
from lightloom.data.graphs.graph import UNKNOWN, Graph, undirected

KEYS = ("id", "label", "split")  # columns of nodes.csv that are no features
ENDS = ("source", "target")


@part
class GraphTable:
    """`root`/nodes.csv, a row for each node: id, label (empty where unknown), split (where there are parts), features.

    split is train, val, test or empty. `root`/edges.csv has source and target, ids of nodes, and may have weight.
    """

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def read(self) -> Graph:
        """The graph, undirected. Raises UserError where a column is missing, an id is twice, or an edge has no node."""
        path = self.root / "nodes.csv"
        header, rows = _rows(path, ("id",))
        places = {name: header.index(name) for name in KEYS if name in header}
        columns = [name for name in header if name not in KEYS]
        names = [row[places["id"]] for row in rows]
        numbers = {name: number for number, name in enumerate(names)}
        if len(numbers) < len(names):
            twice = next(name for number, name in enumerate(names) if numbers[name] != number)
            raise UserError(f"{path}: the id {twice} is there twice; give each node its own.")
        labels, classes = _labels([row[places["label"]] for row in rows] if "label" in places else [""] * len(rows))
        features = _features(path, rows, [header.index(name) for name in columns], columns)
        parts = _parts(path, [row[places["split"]] for row in rows]) if "split" in places else {}
        adjacency, notes = self._edges(numbers)
        return Graph(features, adjacency, labels, classes, parts, names, columns, notes)

    def _edges(self, numbers: Mapping[str, int]) -> tuple[Tensor, list[str]]:
        path = self.root / "edges.csv"
        header, rows = _rows(path, ENDS, may_be_empty=True)
        ends = [header.index(name) for name in ENDS]
        edges = torch.empty(2, len(rows), dtype=torch.int64)
        for line, row in enumerate(rows):
            for end, place in enumerate(ends):
                if row[place] not in numbers:
                    raise UserError(f"{path}: line {line + 2}: there is no node {row[place]!r} in nodes.csv.")
                edges[end, line] = numbers[row[place]]
        weights = None
        if "weight" in header:
            weights = _features(path, rows, [header.index("weight")], ["weight"])[:, 0]
            if not (weights > 0).all():
                line = int((weights <= 0).nonzero()[0]) + 2
                raise UserError(f"{path}: line {line}: weight is {weights[line - 2]:g}; expected a number above 0.")
        try:
            return undirected(edges, len(numbers), weights)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def _rows(path: Path, needed: Sequence[str], may_be_empty: bool = False) -> tuple[list[str], list[list[str]]]:
    """The first row and the others, each as long as it."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; put the table there, or set data.root=<folder>.")
    try:
        with reading(path), cells.open_csv(path) as file:
            header, *rows = [row for row in cells.rows(file) if row] or [[]]
    except ValueError as error:
        raise UserError(f"{path}: is no CSV ({error}).") from error
    header = [name.strip().removeprefix("\ufeff") for name in header]
    for name in needed:
        if name not in header:
            raise UserError(
                f"{path}: has no column {name}.{did_you_mean(name, header)} It has {first_of(header, 5) or 'none'}."
            )
    if len(set(header)) < len(header):
        raise UserError(f"{path}: has two columns of one name; give each its own.")
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"{path}: line {line} has {len(row)} cells; expected {len(header)}, as the first line.")
    if not rows and not may_be_empty:
        raise UserError(f"{path}: has no rows; put one there for each node.")
    return header, rows


def _labels(words: Sequence[str]) -> tuple[Tensor, list[str]]:
    classes = sorted({word for word in words if word})
    numbers = {name: number for number, name in enumerate(classes)} | {"": UNKNOWN}
    return torch.tensor([numbers[word] for word in words]), classes


def _features(path: Path, rows: Sequence[Sequence[str]], places: Sequence[int], names: Sequence[str]) -> Tensor:
    """float (rows, places)."""
    values = np.empty((len(rows), len(places)), dtype=np.float32)
    for line, row in enumerate(rows):
        for column, place in enumerate(places):
            try:
                values[line, column] = float(row[place])
            except ValueError:
                values[line, column] = np.nan
            if not np.isfinite(values[line, column]):
                raise UserError(
                    f"{path}: line {line + 2}: {names[column]} is {row[place]!r}; expected a finite number."
                )
    return torch.from_numpy(values)


def _parts(path: Path, words: Sequence[str]) -> dict[str, Tensor]:
    for line, word in enumerate(words, 2):
        if word not in (*SPLITS, ""):
            raise UserError(f"{path}: line {line}: split is {word!r}; expected {', '.join(SPLITS)} or nothing.")
    return {name: torch.tensor([i for i, w in enumerate(words) if w == name], dtype=torch.int64) for name in SPLITS}
