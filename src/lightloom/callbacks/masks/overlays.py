"""Draw images with their true and found masks, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_output
from lightloom.callbacks.samples.grid import epoch_file, is_shown
from lightloom.core.ranges import Count
from lightloom.losses.segmentation import IGNORE
from lightloom.ops.images.grid import captioned, grid, of_one_size, to_uint8, write_png
from lightloom.ops.indices import evenly

SIDE = 240  # pixels of an image's longer side on a page
OPACITY = 0.55
WRONG = torch.tensor([255, 0, 0], dtype=torch.uint8)
Shown = tuple[float, Tensor, Tensor, Tensor]  # share of wrong pixels, image, truth, found


class MaskOverlays(pl.Callback):
    """Writes `masks/epoch-0001.png` and so on into `dirpath`, and masks.png at a test: image, truth, found, errors.

    In training the images are the same in each epoch, evenly from all batches; in a test they are the worst, with the
    most wrong pixels. Several processes show those of the first one.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, num_images: Count = 6) -> None:
        self.folder, self.num_images = Path(dirpath), num_images
        self._kept: list[Shown] = []
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_output(module, "masks", "masks.png", self._left_out)

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
        """Keep an even share of the batch's images, so that all batches give `num_images` or a few more."""
        if is_shown(trainer) and trainer.is_global_zero and not self._left_out:
            share = -int(-self.num_images // sum(trainer.num_val_batches))
            given = shown(outputs, batch)
            self._kept.extend(given[i] for i in evenly(len(given), share))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the `num_images` images with the largest share of wrong pixels so far."""
        if is_shown(trainer) and trainer.is_global_zero and not self._left_out:
            self._kept = sorted([*self._kept, *shown(outputs, batch)], key=lambda one: -one[0])[: self.num_images]

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._show(trainer, epoch_file(self.folder / "masks", trainer.current_epoch + 1), "val/masks")

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._show(trainer, self.folder / "masks.png", "test/masks")

    def _show(self, trainer: pl.Trainer, path: Path, name: str) -> None:
        kept, self._kept = self._kept, []
        if kept:
            picture = page([kept[i] for i in evenly(len(kept), self.num_images)])
            write_png(path, picture)
            log_image(trainer, name, picture)


def shown(outputs: Any, batch: Any) -> list[Shown]:
    """The images of a batch with both masks, on the CPU, at the size of a page."""
    found = []
    for image, truth, mask in zip(*batch, outputs["masks"], strict=True):
        known = truth != IGNORE
        wrong = float(((mask != truth) & known).sum() / known.sum().clamp(min=1))
        picture, true, seen = (_reduced(x.cpu(), truth.shape) for x in (to_uint8(image), truth, mask))
        found.append((wrong, picture, true, seen))
    return found


def page(images: Sequence[Shown]) -> Tensor:
    """A row for each: image, truth, found, and the wrong pixels in red; uint8 (3, H, W)."""
    cells = [cell for _, image, truth, mask in images for cell in cells_of(image, truth, mask)]
    left = [f"{100 * (1 - one[0]):.0f} %" for one in images]
    return captioned(grid(of_one_size(cells), 4), top=["image", "truth", "found", "wrong"], left=left)


def cells_of(image: Tensor, truth: Tensor, mask: Tensor) -> list[Tensor]:
    """image: uint8 (C, H, W); truth, mask: integers (H, W). Four of uint8 (3, H, W)."""
    colour = image.expand(3, -1, -1)
    wrong = (mask != truth) & (truth != IGNORE)
    return [
        colour,
        overlaid(colour, truth),
        overlaid(colour, mask),
        torch.where(wrong, WRONG[:, None, None], colour // 2),
    ]


def overlaid(image: Tensor, mask: Tensor, opacity: float = OPACITY) -> Tensor:
    """An image, uint8 (3, H, W), under the colours of a mask (H, W); ignored pixels stay as they are."""
    colours = palette()[mask.long().clamp(max=IGNORE)].permute(2, 0, 1)
    mixed = (image.float() * (1 - opacity) + colours.float() * opacity).round().byte()
    return torch.where(mask == IGNORE, image, mixed)


def palette() -> Tensor:
    """A colour for each class, uint8 (256, 3), as in Pascal VOC's devkit: bits of the class, spread over r, g and b."""
    classes = torch.arange(256)
    channels = [sum(((classes >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
    return torch.stack([torch.as_tensor(channel) for channel in channels], 1).to(torch.uint8)


def _reduced(values: Tensor, size: torch.Size) -> Tensor:
    """Images (C, h, w) or masks (H, W) at the size of a mask, with a longer side of SIDE pixels at most."""
    factor = min(1.0, SIDE / max(size))
    wanted = [max(1, round(length * factor)) for length in size]
    if tuple(values.shape[-2:]) == tuple(wanted):
        return values
    if values.ndim == 3:
        return interpolate(values[None].float(), wanted, mode="bilinear", antialias=True)[0].round().byte()
    return interpolate(values[None, None].float(), wanted, mode="nearest")[0, 0].to(values.dtype)
