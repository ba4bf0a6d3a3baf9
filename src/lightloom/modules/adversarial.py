"""What the adversarial algorithms share: when the generator steps, a single step, and the two ranges of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from lightloom.core.errors import UserError
from lightloom.modules.standing_statistics import BATCH_NORMS
from lightloom.ops.typed_trainer import typed

REMEDY = "lower the players' lr (model.discriminator_optimizer.lr, ...) or set model.gradient_clip_val"


def is_turn(trainer: pl.Trainer, every: int) -> bool:
    """After every so many batches, counted over the ends of epochs; Lightning saves that count."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready % every == 0


def check_turns(trainer: pl.Trainer, n_critic: int) -> None:
    """Raise UserError where the run would end before the generator's first step."""
    epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs > 0 else math.inf
    batches = epochs * trainer.num_training_batches
    if batches < n_critic and not typed(trainer).fast_dev_run:
        raise UserError(
            f"model.n_critic is {n_critic}, but the run has {batches} batches: the generator would never take a step; "
            f"set a smaller model.n_critic or data.batch_size, or a larger trainer.max_epochs."
        )


def by_parts(loss: Callable[..., Tensor], inputs: Sequence[Tensor], count: int) -> list[Callable[[], Tensor]]:
    """The loss of each of `count` parts of a batch, times the part's share of it.

    inputs: of the loss, (B, ...) each. For a loss that is a mean over images their sum is the loss of the batch.
    """
    size = len(inputs[0])
    parts = zip(*(x.tensor_split(min(count, size)) for x in inputs), strict=True)
    return [partial(_weighted, loss, part, len(part[0]) / size) for part in parts]


def _weighted(loss: Callable[..., Tensor], inputs: Sequence[Tensor], share: float) -> Tensor:
    return loss(*inputs) * share


def log_error(module: Any, stage: str, images: Tensor) -> None:
    """`<stage>/mse`: the mean squared error of the reconstructions, which no adversarial loss asks for."""
    error = (module.reconstruct(images) - images).square().mean()
    module.log(f"{stage}/mse", error, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)


def symmetric(images: Tensor) -> Tensor:
    """From [0, 1] to [-1, 1]."""
    return images * 2 - 1


def unit(images: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1]."""
    return (images.float() + 1) / 2


def check_critic(critic: nn.Module, penalized: bool) -> None:
    """Raise UserError where a penalty on each image's gradient meets batch norm (Gulrajani et al. 2017, section 4)."""
    mixes = [name for name, part in critic.named_modules() if isinstance(part, BATCH_NORMS)]
    if penalized and mixes:
        raise UserError(
            f"model.penalty is on the gradient of each image's score, but batch norm ({mixes[0]}) mixes the images of "
            f"a batch; set model.discriminator.norm=none or layer."
        )


def check_constraint(critic: nn.Module, constrained: bool) -> None:
    """Raise UserError where a constraint would change weights that spectral norm computes from others."""
    if constrained and any(map(is_parametrized, critic.modules())):
        raise UserError(
            "model.constraint changes the discriminator's weights, but spectral norm makes them from others, whose "
            "size it ignores; set model.discriminator.spectral_norm=false, or leave out model.constraint."
        )
