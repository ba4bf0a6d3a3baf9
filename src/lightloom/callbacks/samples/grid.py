"""Draw samples of fixed noise after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_samples
from lightloom.core.ranges import Count, Seed
from lightloom.modules.protocols import Generates, GeneratesByClass
from lightloom.ops.images.grid import grid, write_png
from lightloom.ops.indices import evenly
from lightloom.ops.rng import latents
from lightloom.ops.typed_trainer import typed

FOLDER, COLUMNS = "samples", 8


class SampleGrid(pl.Callback):
    """Writes `samples/epoch-0001.png` and so on into `dirpath`: images from latents 0, 1, ... of the seed.

    Of a module that makes images by class, row i is of class i, or of one of those evenly taken, with the same latents
    in each row. After the validation of the first epoch and of every n-th, with the weights that validation has.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(self, dirpath: str, seed: Seed, num_samples: Count = 64, every_n_epochs: Count = 1) -> None:
        self.folder, self.seed = Path(dirpath) / FOLDER, seed
        self.num_samples, self.every_n_epochs = num_samples, every_n_epochs
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_samples(module, "samples/", self._left_out)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self._left_out or not is_shown(trainer) or (epoch > 1 and epoch % self.every_n_epochs):
            return
        images = draw(module, *self._drawn(module))
        if trainer.is_global_zero:
            page = grid(images, COLUMNS)
            write_png(epoch_file(self.folder, epoch), page, height=images.shape[-2], width=images.shape[-1])
            log_image(trainer, "val/samples", page)

    def _drawn(self, module: pl.LightningModule) -> tuple[Tensor, ...]:
        """The latents, and where they are given any, their classes."""
        if not isinstance(module, GeneratesByClass):
            return (latents(self.seed, self.num_samples, as_generator(module).latent_dim),)
        shown = torch.tensor(evenly(module.num_classes, max(self.num_samples // COLUMNS, 1)))
        return by_class(latents(self.seed, COLUMNS, module.latent_dim), shown)


def by_class(z: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """All latents z (N, latent_dim) for each class, int64 (K,), in turn: (K N, latent_dim) and (K N,)."""
    return z.repeat(len(classes), 1), classes.repeat_interleave(len(z))


def is_shown(trainer: pl.Trainer) -> bool:
    """Is this a stage whose pictures are kept: a test, or a fit past its sanity check?"""
    return not (trainer.sanity_checking or typed(trainer).fast_dev_run) and trainer.state.fn in ("fit", "test")


def epoch_file(folder: Path, epoch: int) -> Path:
    """The picture of an epoch, counted from 1; names sort by it."""
    return folder / f"epoch-{epoch:04d}.png"


def as_generator(module: pl.LightningModule) -> Generates:
    """The module, which `check_samples` has found to make images from latents."""
    return cast(Generates, module)


@torch.no_grad()
def draw(module: Any, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """Images (B, C, H, W) in [0, 1] for latents z (B, latent_dim), float32 on the CPU, in evaluation mode.

    labels: as `GeneratesByClass` takes them.
    """
    given = () if labels is None else (labels.to(module.device),)
    with evaluating(module):
        return module.decode(z.to(module.device, module.dtype), *given).float().cpu()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode; then each part is in the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
