"""Log pictures to every logger that accepts them."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from lightloom.ops.images.grid import from_pil, to_pil


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
