"""Callbacks of lightning-bolts that look into a run: do images of a batch mix, what goes through a network, latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor

from lightloom.callbacks.images.log import log_image
from lightloom.callbacks.offers import lacks_samples
from lightloom.callbacks.samples.grid import as_generator, draw, epoch_file, is_shown
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, checked
from lightloom.data.subset import images_of
from lightloom.integrations.bolts import load
from lightloom.modules.protocols import Detects
from lightloom.ops.images.grid import grid, write_png


class GradientVerification(pl.Callback):
    """Before step 1: the output for an image must depend on this image, and on no other image of its batch.

    Batch norms, which mix by design, take part in evaluation mode. Raises UserError where images mix. num_samples: the
    size of the batch, training images without augmentation.
    """

    @checked
    def __init__(self, num_samples: Annotated[int, Ge(2)] = 4) -> None:
        self.num_samples = num_samples
        self.verification = load("pl_bolts.callbacks.verification.batch_gradient").BatchGradientVerification

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if isinstance(module, Detects) or not is_overridden("forward", module):
            raise UserError(
                f"callbacks.verification looks at forward(images) of a batch, and {type(module).__name__} has no such "
                f"forward: leave callbacks=bolts_verification out, or choose a classifier or an autoencoder."
            )

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        images, _ = next(images_of(trainer, "train", self.num_samples, self.num_samples))
        with torch.random.fork_rng(devices=[]):
            sound = self.verification(module).check(images.clone())
        module.zero_grad()
        if not sound:
            raise UserError(
                f"callbacks.verification: {type(module).__name__} mixes the images of a batch, or its output does not "
                f"depend on the image at all; look for a view, reshape, permute or mean over dimension 0."
            )


class _ToEachLogger:
    """lightning-bolts asks the first logger only, and in validation too."""

    _trainer: pl.Trainer

    def _is_logger_available(self, logger: Any) -> bool:
        return True

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not any(isinstance(logger, TensorBoardLogger | WandbLogger) for logger in trainer.loggers):
            raise UserError("callbacks=bolts_monitors draws histograms, and no logger takes any; set logger=default.")
        super().on_train_start(trainer, module)  # type: ignore[misc]

    def log_histograms(self, batch: Any, group: str = "") -> None:
        if self._trainer.training:
            super().log_histograms(batch, group)  # type: ignore[misc]

    def log_histogram(self, tensor: Tensor, name: str) -> None:
        values = tensor.detach().float().cpu()
        for logger in self._trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_histogram(name, values, self._trainer.global_step)
            elif isinstance(logger, WandbLogger):
                import wandb

                logger.experiment.log({name: wandb.Histogram(values.flatten().tolist())}, commit=False)


@part
def training_monitor(log_every_n_steps: Count | None = None) -> pl.Callback:
    """A histogram of each tensor of a batch as it comes to the training step; null: as often as the trainer logs."""
    base = load("pl_bolts.callbacks").TrainingDataMonitor
    return type("TrainingDataMonitor", (_ToEachLogger, base), {})(log_every_n_steps)


@part
def module_monitor(submodules: Sequence[str], log_every_n_steps: Count | None = None) -> pl.Callback:
    """A histogram of what goes into these submodules, named from the module on, and of what comes out, in training."""
    base = load("pl_bolts.callbacks").ModuleDataMonitor

    def setup(self: Any, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        known = [name for name, _ in module.named_modules() if name]
        for name in submodules:
            if name not in known:
                parts = ", ".join(n for n in known if "." not in n)
                raise UserError(
                    f"callbacks.outputs.submodules: {type(module).__name__} has no {name!r}; name some of {parts}, or "
                    f"of what they have, as in {known[-1]}."
                )

    return type("ModuleDataMonitor", (_ToEachLogger, base), {"setup": setup})(list(submodules), log_every_n_steps)


class LatentGrid(pl.Callback):
    """Writes `latent_grid/epoch-0001.png` and so on into `dirpath`: the first two latents from -reach to reach.

    All other latents are zero. steps: of a side of the grid.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(self, dirpath: str, reach: Count = 3, steps: Count = 11, every_n_epochs: Count = 1) -> None:
        self.folder, self.steps, self.every_n_epochs = Path(dirpath) / "latent_grid", steps, every_n_epochs
        self._left_out = False
        interpolator = load("pl_bolts.callbacks").LatentDimInterpolator
        self.interpolator = interpolator(range_start=-reach, range_end=reach, steps=steps, num_samples=1)

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks_samples(module, "latent_grid/", self._left_out)
        if not self._left_out and as_generator(module).latent_dim < 2:
            raise UserError("callbacks.latent_grid is drawn over two latents, and this model has one; leave it out.")

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self._left_out or not is_shown(trainer) or epoch % self.every_n_epochs:
            return
        images = self.interpolator.interpolate_latent_space(_Drawing(module), as_generator(module).latent_dim)
        if trainer.is_global_zero:
            page = grid(torch.cat(images), self.steps)
            write_png(epoch_file(self.folder, epoch), page)
            log_image(trainer, "val/latent_grid", page)


class _Drawing:
    """A sampler as LatentDimInterpolator wants it: called with latents, told to evaluate and to train again."""

    device = torch.device("cpu")

    def __init__(self, module: pl.LightningModule) -> None:
        self.module = module

    def __call__(self, z: Tensor) -> Tensor:
        return draw(self.module, z)

    def eval(self) -> None:
        """Nothing: `draw` does."""

    train = eval
