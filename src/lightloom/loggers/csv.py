"""A CSV log that a resumed run continues, and pictures for the loggers that take them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.csv_logs import _ExperimentWriter as FabricWriter
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment


class _ContinuedWriter(ExperimentWriter):
    """Keeps the rows that are there; Lightning's own would delete them."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = list(csv.DictReader(file).fieldnames or [])

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        _write(Path(self.metrics_file_path), fieldnames, _whole_rows(Path(self.metrics_file_path)))


class ContinuedCSVLogger(CSVLogger):
    """`<save_dir>/metrics.csv`. A run that is resumed at step s drops the rows from s on, which it will write again.

    Each row is written at once, so that a run that is killed has lost none of what its checkpoint has behind it.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=1)

    @property
    @rank_zero_experiment
    def experiment(self) -> FabricWriter:
        if self._experiment is None:
            self._experiment = _ContinuedWriter(self.log_dir)
        return self._experiment

    def log_hyperparams(self, params: Any = None) -> None:
        """Nothing: the run's folder has them in config.yaml."""

    def continue_from(self, step: int) -> None:
        """Forget what was logged at `step` and later, or by a test, which comes after the last epoch."""
        path = Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE
        if path.is_file():
            rows = _whole_rows(path)
            kept = [row for row in rows if int(row["step"]) < step and not _is_test(row)]
            _write(path, list(rows[0]) if rows else ["step"], kept)


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file whose last line may have been cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))


def _write(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    """The whole table or nothing."""
    temporary = path.with_suffix(".saving")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def _is_test(row: dict[str, Any]) -> bool:
    return any(name.startswith("test/") and value for name, value in row.items())
