"""predictions.csv and its first rows on the console: what all capabilities write alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lightloom.core.cells import Writer, open_csv
from lightloom.core.screen import show_table

log = logging.getLogger("lightloom")
MOST_ROWS = 20  # on the console; predictions.csv has all


class Table:
    """A CSV file whose rows are on the disk as soon as they are added. exact: see `core.cells`."""

    def __init__(self, path: Path, header: Sequence[str], exact: bool = False) -> None:
        self.path, self.header, self.count = path, list(header), 0
        self.first: list[Sequence[Any]] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open_csv(path, "w")
        self._writer = Writer(self._file, exact)
        self._writer.write(self.header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows; a float has six digits."""
        self._writer.write(*([f"{v:.6f}" if isinstance(v, float) else v for v in row] for row in rows))
        self._file.flush()
        self.count += len(rows)
        self.first += rows[: max(0, MOST_ROWS - len(self.first))]

    def show(self) -> None:
        """Print the first rows, and say where the others are."""
        rows = [[f"{v:.4f}" if isinstance(v, float) else v for v in row] for row in self.first]
        if self.count > MOST_ROWS:
            rows.append(["..."] * (len(self.header) - 1) + [f"{self.count - MOST_ROWS} more"])
        show_table(self.header, rows, left=len(self.header) - 1)
        log.info("%d predictions: %s", self.count, self.path)


def predictions(folder: str | Path, header: Sequence[str]) -> Table:
    """predictions.csv in a folder."""
    return Table(Path(folder) / "predictions.csv", header)
