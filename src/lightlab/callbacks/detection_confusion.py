"""What a detector took for what in a test, missed and false boxes included."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from lightlab.callbacks.confusion import draw, write_table


class DetectionConfusion(pl.Callback):
    """Writes confusion_matrix.csv and .png into `dirpath`. Rows are the true classes, columns the predicted ones.

    The first of each is the background: its row counts false boxes, its column missed ones.
    """

    at_test = True

    def __init__(self, dirpath: str) -> None:
        self.folder = Path(dirpath)

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        matrix: Tensor = module.confusion.compute().cpu()  # type: ignore[operator, union-attr]
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        names = getattr(trainer.datamodule, "classes", None) or [str(i) for i in range(1, len(matrix))]  # type: ignore[attr-defined]
        classes = ["background", *names]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_table(self.folder / "confusion_matrix.csv", matrix, classes)
        figure = draw(matrix.numpy(), classes)
        figure.savefig(self.folder / "confusion_matrix.png", dpi=120, bbox_inches="tight")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_figure("test/confusion_matrix", figure, trainer.global_step)
