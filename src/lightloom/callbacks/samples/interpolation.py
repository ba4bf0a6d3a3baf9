"""Draw the images on the path between two latents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import one_hot

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_samples
from lightloom.callbacks.samples.grid import as_generator, draw, is_shown
from lightloom.core.ranges import Count, Seed
from lightloom.modules.protocols import GeneratesByClass
from lightloom.ops.images.grid import captioned, grid, write_png
from lightloom.ops.interpolation import lerp, slerp
from lightloom.ops.rng import latents


class Interpolation(pl.Callback):
    """Writes interpolation.png into `dirpath` at a test: for each pair of latents its great arc and its straight line.

    The pairs are the seed's latents 0 and 1, 2 and 3, .... Of a module that makes images by class, all are of the class
    of a pair's first latent; a third row keeps that latent and goes on to the next class.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True

    def __init__(self, dirpath: str, seed: Seed, pairs: Count = 4, steps: Annotated[int, Ge(2)] = 9) -> None:
        self.folder, self.seed, self.pairs, self.steps = Path(dirpath), seed, pairs, steps
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_samples(module, "interpolation.png", self._left_out)

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Draw the images on the ways between pairs of latents: on the sphere, straight, and from class to class."""
        if self._left_out or not is_shown(trainer):
            return
        ends = latents(self.seed, 2 * self.pairs, as_generator(module).latent_dim)
        t = torch.linspace(0, 1, self.steps)
        paths = {"spherical": slerp(ends[::2], ends[1::2], t), "linear": lerp(ends[::2], ends[1::2], t)}
        mixed: list[Tensor] = []
        if isinstance(module, GeneratesByClass):
            paths["classes"] = ends[::2, None].expand_as(paths["linear"])
            mixed = [mixtures(module, ends[::2], t)]
        images = draw(module, *(x.flatten(0, 2) for x in (torch.stack([*paths.values()], dim=1), *mixed)))
        if trainer.is_global_zero:
            page = captioned(grid(images, self.steps), left=[*paths] * self.pairs)
            write_png(self.folder / "interpolation.png", page)
            log_image(trainer, "test/interpolation", page)


def mixtures(module: GeneratesByClass, z: Tensor, t: Tensor) -> Tensor:
    """Weights of classes, (B, 3, T, num_classes), for latents z (B, latent_dim) and t (T,): twice the latent's class
    all the way, then from it to the next."""
    first = module.classes_of(z.to(getattr(module, "device", z.device))).cpu()
    own, following = (one_hot((first + i) % module.num_classes, module.num_classes).float() for i in (0, 1))
    stays = lerp(own, own, t)
    return torch.stack([stays, stays, lerp(own, following, t)], dim=1)
