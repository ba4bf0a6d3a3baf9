"""Pages of examples: what a module made of inputs, the same ones after each epoch, the worst ones of a test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_output
from lightloom.callbacks.samples.grid import epoch_file, is_shown
from lightloom.core.ranges import Count
from lightloom.ops.collectives import gather_objects
from lightloom.ops.images.grid import write_png
from lightloom.ops.indices import evenly


class ExamplePages(pl.Callback):
    """Writes `<name>/epoch-0001.png` and so on into `dirpath`, and `<name>.png` at a test.

    In training the examples are the same in each epoch, evenly from all batches of the first process; in a test they
    are the worst of all processes. A subclass says what an example is, how bad it is, and how a page shows some.

    Of the class: name: of the files. output: of the module's steps, which is shown.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True
    name: ClassVar[str]
    output: ClassVar[str]

    def __init__(self, dirpath: str, num_images: Count) -> None:
        self.folder, self.num_images = Path(dirpath), num_images
        self._kept: list[Any] = []
        self._left_out = False

    @abstractmethod
    def examples(self, outputs: Any, batch: Any, module: Any, chosen: Sequence[int]) -> list[Any]:
        """Those at these places of a batch, on the CPU. outputs: what the module's step returned."""

    @abstractmethod
    def badness(self, example: Any) -> Any:
        """By which examples are ordered, the worst the largest."""

    @abstractmethod
    def page(self, examples: Sequence[Any], trainer: pl.Trainer) -> Tensor:
        """A picture of all of them, uint8 (3, H, W)."""

    def write_beside(self, examples: Sequence[Any], trainer: pl.Trainer) -> None:
        """What else a test leaves of its worst examples."""

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_output(module, self.output, f"{self.name}.png", self._left_out)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._kept = []

    def on_test_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._kept = []

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep an even share of the batch, so that all batches give `num_images` or a few more."""
        if is_shown(trainer) and trainer.is_global_zero and not self._left_out:
            share = -int(-self.num_images // sum(trainer.num_val_batches))
            self._kept += self.examples(outputs, batch, module, evenly(len(batch[0]), share))

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the `num_images` worst so far."""
        if is_shown(trainer) and not self._left_out:
            found = self.examples(outputs, batch, module, range(len(batch[0])))
            self._kept = self._worst([*self._kept, *found])

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        kept = [self._kept[i] for i in evenly(len(self._kept), self.num_images)]
        self._show(trainer, epoch_file(self.folder / self.name, trainer.current_epoch + 1), f"val/{self.name}", kept)

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not is_shown(trainer) or self._left_out:
            return
        kept = self._worst(gather_objects(self._kept))
        self._show(trainer, self.folder / f"{self.name}.png", f"test/{self.name}", kept)
        if kept and trainer.is_global_zero:
            self.write_beside(kept, trainer)

    def _worst(self, found: Sequence[Any]) -> list[Any]:
        return sorted(found, key=self.badness, reverse=True)[: self.num_images]

    def _show(self, trainer: pl.Trainer, path: Path, name: str, kept: Sequence[Any]) -> None:
        self._kept = []
        if kept and trainer.is_global_zero:
            picture = self.page(kept, trainer)
            write_png(path, picture)
            log_image(trainer, name, picture)
