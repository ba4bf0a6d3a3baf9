"""A CSV log that a resumed run continues."""

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


class ContinuedCSVLogger(CSVLogger):
    """`<save_dir>/metrics.csv`. A run that is resumed at step s drops the rows from s on, which it will write again."""

    def __init__(self, save_dir: str, flush_logs_every_n_steps: int = 100) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)

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
        if not path.is_file():
            return
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        kept: list[dict[str, Any]] = [r for r in rows if int(r["step"]) < step and not _is_test(r)]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["step"])
            writer.writeheader()
            writer.writerows(kept)


def _is_test(row: dict[str, Any]) -> bool:
    return any(name.startswith("test/") and value for name, value in row.items())
