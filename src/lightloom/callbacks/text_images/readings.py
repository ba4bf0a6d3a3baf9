"""Draw pictures of texts with what was read in them, each symbol where it was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import pad

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_output
from lightloom.callbacks.samples.grid import epoch_file, is_shown
from lightloom.core.ranges import Count
from lightloom.core.text import line
from lightloom.data.text_images.alphabet import decoded
from lightloom.ops.collectives import gather_objects
from lightloom.ops.ctc import Reading
from lightloom.ops.images.grid import captioned, from_pil, grid, to_pil, to_uint8, write_png
from lightloom.ops.indices import evenly
from lightloom.ops.typed_trainer import typed

HEIGHT, STRIP, COLUMNS = 64, 16, 3  # pixels of a picture and of the line below it; pictures in a row
INK, WRONG = (0, 0, 0), (220, 0, 0)


@dataclass(frozen=True)
class Shown:
    """image: uint8 (C, H, W). true: the text's codes. found: what was read."""

    image: Tensor
    true: tuple[int, ...]
    found: Reading

    @property
    def badness(self) -> float:
        """By which the worst come first: wrong ones, the surest of them, then right ones, the least sure."""
        sure = self.found.probability
        return 1 + sure if self.found.codes != self.true else 1 - sure


class Readings(pl.Callback):
    """Writes `readings/epoch-0001.png` and so on into `dirpath`, and readings.png at a test.

    In training the pictures are the same in each epoch, evenly from all batches; in a test they are the worst: what the
    model read wrongly and was most sure of. Over each stands its true text, below it what was read and how sure.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, num_images: Count = 24) -> None:
        self.folder, self.num_images = Path(dirpath), num_images
        self._kept: list[Shown] = []
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_output(module, "readings", "readings.png", self._left_out)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._kept = []

    def on_test_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._kept = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep an even share of the batch's pictures, so that all batches give `num_images` or a few more."""
        if is_shown(trainer) and trainer.is_global_zero and not self._left_out:
            share = -int(-self.num_images // sum(trainer.num_val_batches))
            self._kept += shown(outputs["readings"], batch, evenly(len(batch[0]), share))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the `num_images` worst readings so far."""
        if is_shown(trainer) and not self._left_out:
            self._kept = self._worst([*self._kept, *shown(outputs["readings"], batch, range(len(batch[0])))])

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        kept = [self._kept[i] for i in evenly(len(self._kept), self.num_images)]
        self._show(trainer, epoch_file(self.folder / "readings", trainer.current_epoch + 1), "val/readings", kept)

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if is_shown(trainer) and not self._left_out:
            kept = self._worst(gather_objects(self._kept))
            self._show(trainer, self.folder / "readings.png", "test/readings", kept)

    def _worst(self, found: Sequence[Shown]) -> list[Shown]:
        return sorted(found, key=lambda one: -one.badness)[: self.num_images]

    def _show(self, trainer: pl.Trainer, path: Path, name: str, kept: Sequence[Shown]) -> None:
        self._kept = []
        if kept and trainer.is_global_zero:
            alphabet = getattr(typed(trainer).datamodule, "alphabet", None) or ""
            picture = page(kept, alphabet)
            write_png(path, picture)
            log_image(trainer, name, picture)


def shown(readings: Sequence[Reading], batch: tuple[Tensor, Tensor], chosen: Sequence[int]) -> list[Shown]:
    """The chosen ones of a batch of images (B, C, H, W) and codes (B, L), on the CPU."""
    texts = [tuple(code for code in row if code) for row in batch[1].tolist()]
    return [Shown(to_uint8(batch[0][i]), texts[i], readings[i]) for i in chosen]


def page(found: Sequence[Shown], alphabet: str) -> Tensor:
    """A cell for each picture, uint8 (3, H, W)."""
    return grid(torch.stack([cell(one, alphabet) for one in found]), COLUMNS)


def cell(one: Shown, alphabet: str) -> Tensor:
    """The true text and how sure the model is, the picture, and each symbol at its place; uint8 (3, H, W)."""
    factor = math.ceil(HEIGHT / one.image.shape[1])
    picture = one.image.expand(3, -1, -1).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    true = f"{line(decoded(one.true, alphabet))}   {100 * one.found.probability:.0f} %"
    drawn = to_pil(captioned(pad(picture, (0, 0, 0, STRIP), value=255), top=[true]))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(STRIP - 3)
    for place, code in enumerate(one.found.codes):
        is_right = place < len(one.true) and one.true[place] == code
        x, y = one.found.places[place] * drawn.width, drawn.height - STRIP / 2
        pen.text((x, y), decoded([code], alphabet), INK if is_right else WRONG, font, anchor="mm")
    return from_pil(drawn)
