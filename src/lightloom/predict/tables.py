"""predictions.csv and its first rows on the console: what all capabilities write alike."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

log = logging.getLogger("lightloom")
MOST_ROWS = 20  # on the console; predictions.csv has all


def write_predictions(folder: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """predictions.csv, and the first rows as a table; the last column is a number."""
    path = Path(folder) / "predictions.csv"
    write_csv(path, header, [[*row[:-1], f"{row[-1]:.6f}"] for row in rows])
    table = Table(*header[:-1], Column(header[-1], justify="right"))
    for row in rows[:MOST_ROWS]:
        table.add_row(*map(_printable, row[:-1]), f"{row[-1]:.4f}")
    if len(rows) > MOST_ROWS:
        table.add_row("...", f"{len(rows) - MOST_ROWS} more")
    Console().print(table)
    log.info("%d predictions: %s", len(rows), path)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Names of files keep their bytes, as the system has them."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _printable(name: Any) -> str:
    """A file's name as text, also where its bytes are none."""
    return os.fsencode(str(name)).decode("utf-8", "replace")
