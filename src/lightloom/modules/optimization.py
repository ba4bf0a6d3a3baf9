"""How an algorithm asks for its optimizer and schedule, the same for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer

from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.modules.freezing import Freezing
from lightloom.ops.typed_trainer import typed
from lightloom.optim.groups import PLAIN, OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory, build_optimizer
from lightloom.optim.schedules import Schedule


def configure_optimizer(
    module: pl.LightningModule,
    factory: OptimizerFactory,
    scheduler: Callable[..., Schedule] | None = None,
    groups: OptimizerGroups = PLAIN,
) -> Any:
    """What `configure_optimizers` returns: the optimizer of all the module's parameters, with a schedule if it has one.

    factory, scheduler: presets of configs/optimizer and configs/scheduler.
    """
    optimizer = optimizer_of(module, factory, groups)
    if scheduler is None:
        return optimizer
    return {"optimizer": optimizer, "lr_scheduler": scheduler(optimizer, total_steps=total_steps(module.trainer))}


def optimizer_of(
    module: pl.LightningModule,
    factory: OptimizerFactory,
    groups: OptimizerGroups = PLAIN,
    networks: Sequence[nn.Module] | None = None,
) -> Optimizer:
    """The optimizer of some of the module's networks, or of all its parameters, as its trainer allows."""
    holds = any(isinstance(callback, Freezing) for callback in typed(module.trainer).callbacks)
    if groups.freeze and not holds:
        raise UserError(
            f"model.optimizer_groups.freeze: {type(module).__name__} does not freeze; return "
            f"freezing(self.optimizer_groups) of lightloom.modules.freezing from its configure_callbacks."
        )
    return build_optimizer(factory, module, groups, networks, may_fuse=not scaler_must_clip(module.trainer))


def scaler_must_clip(trainer: pl.Trainer) -> bool:
    """A fused step unscales gradients inside the kernel, too late to clip or measure them (Lightning refuses it)."""
    if getattr(trainer.precision_plugin, "scaler", None) is None:
        return False
    return bool(trainer.gradient_clip_val) or not trainer.lightning_module.automatic_optimization


def total_steps(trainer: pl.Trainer) -> int:
    """Optimizer steps of the whole run, whoever loads its data; sys.maxsize where nothing ends it."""
    return int(min(contract.total_steps(trainer), sys.maxsize))
