"""A CSV log that a resumed run continues, and pictures for the loggers that take them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.loggers.csv_logs import _ExperimentWriter as FabricWriter
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from torch import Tensor

from lightlab.pictures import from_pil, to_pil


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


def log_image(trainer: pl.Trainer, name: str, image: Tensor) -> None:
    """Give a picture, uint8 (C, H, W) with 1 or 3 channels, to each logger that takes any. Rank 0 does.

    These are TensorBoard's, those with a `log_image` (integrations/trackers.py, Lightning's for Weights & Biases), and
    those whose client has one (Lightning's for MLflow).
    """
    for logger in trainer.loggers if trainer.is_global_zero else []:
        step, own = trainer.global_step, getattr(logger, "log_image", None)
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step)
        elif own is not None:
            own(key=name, images=[to_pil(image)], step=step)
        elif run_id := getattr(logger, "run_id", None):
            logger.experiment.log_image(run_id, to_pil(image), key=name, step=step)  # type: ignore[attr-defined]


def log_picture(trainer: pl.Trainer, name: str, path: Path) -> None:
    """As `log_image`, for a picture that lies in a file."""
    with Image.open(path) as image:
        log_image(trainer, name, from_pil(image.convert("RGB")))


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
