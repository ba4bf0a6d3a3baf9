"""What a test leaves: something of each batch, of all processes together, written down at its end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.offers import lacks_output, lacks_parts, parts_of
from lightloom.callbacks.samples.grid import is_shown
from lightloom.ops.collectives import gather_objects


class AtTest(pl.Callback):
    """Writes `file` into `dirpath` after a test. A subclass says what is kept of a batch, and how all of it is written.

    Of the class: file: named where it is left out. output: of the module's test step, without which it is. parts: that
    a batch must begin with.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True
    file: ClassVar[str]
    output: ClassVar[str] = "logits"
    parts: ClassVar[int] = 2

    def __init__(self, dirpath: str) -> None:
        self.folder = Path(dirpath)
        self._kept: list[Any] = []
        self._left_out = False

    @abstractmethod
    def taken(self, trainer: pl.Trainer, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> list[Any]:
        """What is kept of a batch, on the CPU. outputs: what the module's step returned. batch: its first `parts`."""

    @abstractmethod
    def write(self, trainer: pl.Trainer, kept: Sequence[Any]) -> None:
        """Write down what all processes have kept; one process does."""

    def choose(self, kept: list[Any]) -> list[Any]:
        """What is to be kept of all so far. Choosing from earlier choices and later ones equals choosing from all."""
        return kept

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_output(module, self.output, self.file, self._left_out)

    def on_test_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._kept = []

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep what there is to keep of a batch."""
        self._left_out = self._left_out or lacks_parts(batch, self.parts, self.file)
        if is_shown(trainer) and not self._left_out:
            self._kept += self.taken(trainer, outputs, parts_of(batch, self.parts), batch_idx)
            self._kept = self.choose(self._kept)

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        own, self._kept = self._kept, []
        if self._left_out or not is_shown(trainer):
            return
        kept = self.choose(gather_objects(own))
        if trainer.is_global_zero:
            self.write(trainer, kept)
