"""Draw the images on the path between two latents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytorch_lightning as pl
import torch
from annotated_types import Ge

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_samples
from lightloom.callbacks.samples.grid import as_generator, draw, is_shown
from lightloom.core.ranges import Count, Seed
from lightloom.ops.images.grid import captioned, grid, write_png
from lightloom.ops.interpolation import lerp, slerp
from lightloom.ops.rng import latents


class Interpolation(pl.Callback):
    """Writes interpolation.png into `dirpath` at a test: for each pair of latents its great arc and its straight line.

    The pairs are the seed's latents 0 and 1, 2 and 3, ..., as in the pages of `SampleGrid`.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, seed: Seed, pairs: Count = 4, steps: Annotated[int, Ge(2)] = 9) -> None:
        self.folder, self.seed, self.pairs, self.steps = Path(dirpath), seed, pairs, steps
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_samples(module, "interpolation.png", self._left_out)

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._left_out or not is_shown(trainer):
            return
        ends = latents(self.seed, 2 * self.pairs, as_generator(module).latent_dim)
        t = torch.linspace(0, 1, self.steps)
        paths = torch.stack([slerp(ends[::2], ends[1::2], t), lerp(ends[::2], ends[1::2], t)], dim=1)
        images = draw(module, paths.flatten(0, 2))
        if trainer.is_global_zero:
            page = captioned(grid(images, self.steps), left=["spherical", "linear"] * self.pairs)
            write_png(self.folder / "interpolation.png", page)
            log_image(trainer, "test/interpolation", page)
