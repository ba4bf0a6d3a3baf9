"""Draw images beside their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks, lacks_parts, parts_of
from lightloom.callbacks.samples.grid import COLUMNS, epoch_file, evaluating, is_shown
from lightloom.core.ranges import Count
from lightloom.modules.protocols import Reconstructs
from lightloom.ops.images.grid import pairs, write_png
from lightloom.ops.indices import share

PAGE = "reconstructions.png"


class Reconstructions(pl.Callback):
    """Writes `reconstructions/epoch-0001.png` and so on into `dirpath`, and reconstructions.png at a test.

    Under each row of validation (or test) images is the row of their reconstructions.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, num_images: Count = 16) -> None:
        self.folder, self.num_images = Path(dirpath), num_images
        self._images: list[Tensor] = []
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks(module, "reconstruct", PAGE, self._left_out)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._take(batch, trainer.num_val_batches)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._take(batch, trainer.num_test_batches)

    def _take(self, batch: Any, batches: Sequence[int | float]) -> None:
        self._left_out = self._left_out or lacks_parts(batch, 1, PAGE)
        if not self._left_out:
            self._images.append(share(parts_of(batch, 1)[0], self.num_images, batches))

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        path = epoch_file(self.folder / "reconstructions", trainer.current_epoch + 1)
        self._show(trainer, module, path, "val/reconstructions")

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._show(trainer, module, self.folder / PAGE, "test/reconstructions")

    @torch.no_grad()
    def _show(self, trainer: pl.Trainer, module: pl.LightningModule, path: Path, name: str) -> None:
        collected, self._images = self._images, []
        if not is_shown(trainer) or not collected:
            return
        images = torch.cat(collected)[: self.num_images]
        with evaluating(module):
            reconstructed = cast(Reconstructs, module).reconstruct(images)
        if trainer.is_global_zero:
            page = pairs(images, reconstructed, COLUMNS)
            write_png(path, page)
            log_image(trainer, name, page)
