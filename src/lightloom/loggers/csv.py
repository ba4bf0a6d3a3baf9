"""A CSV log that a resumed run continues, and pictures for the loggers that take them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

METRICS_FILE = "metrics.csv"


class ContinuedCSVLogger(Logger):
    """`<save_dir>/metrics.csv`. A run that is resumed at step s drops the rows from s on, which it will write again.

    Each row is written at once, so that a run that is killed has lost none of what its checkpoint has behind it. The
    table is Lightning's CSVLogger's: columns by name, one more where a metric is new.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / METRICS_FILE
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's folder has them in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """One row; a Tensor of one element is its number."""
        row = {name: _number(value) for name, value in metrics.items()} | {"step": step or 0}
        if self._columns is None:
            self._columns = _header(self.path)
        new = row.keys() - set(self._columns)
        if new or not self.path.is_file():
            self._columns = sorted({*self._columns, *new})
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write(self.path, self._columns, _whole_rows(self.path) if self.path.is_file() else [])
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, fieldnames=self._columns).writerow(row)

    def continue_from(self, step: int) -> None:
        """Forget what was logged at `step` and later, or by a test, which comes after the last epoch."""
        if self.path.is_file():
            rows = _whole_rows(self.path)
            kept = [row for row in rows if int(row["step"]) < step and not _is_test(row)]
            _write(self.path, list(rows[0]) if rows else ["step"], kept)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _header(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file).fieldnames or [])


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file whose last line may have been cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))


def _write(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    """Write the table atomically."""
    temporary = path.with_suffix(".saving")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def _is_test(row: dict[str, Any]) -> bool:
    return any(name.startswith("test/") and value for name, value in row.items())
