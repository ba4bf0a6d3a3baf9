"""What the algorithms share about optimizers: which parameters decay, and when a fused step is allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer

from lightlab.errors import UserError

OptimizerFactory = Callable[..., Optimizer]


def build_optimizer(factory: OptimizerFactory, network: nn.Module, trainer: pl.Trainer | None = None) -> Optimizer:
    """The optimizer over the network's trainable parameters; biases and norms (one-dimensional) do not decay.

    factory: a preset of configs/optimizer, a partial that still wants its parameters. Raises UserError for a value
    that the optimizer refuses.
    """
    options: dict[str, Any] = dict(factory.keywords) if isinstance(factory, partial) else {}
    decay = options.get("weight_decay") or 0.0
    groups = parameter_groups(network, decay)
    unfused = {"fused": False} if options.get("fused") and _scaler_must_clip(trainer) else {}
    try:
        return factory(groups, **unfused)
    except (TypeError, ValueError) as error:
        raise UserError(f"model.optimizer: {error}; correct that option of the optimizer.") from error


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What does not decay, then what does: as timm's `param_groups_weight_decay`, whose import takes a second."""
    groups: dict[float, list[nn.Parameter]] = {0.0: [], weight_decay: []}
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups[0.0 if parameter.ndim <= 1 else weight_decay].append(parameter)
    return [{"params": parameters, "weight_decay": decay} for decay, parameters in groups.items() if parameters]


def _scaler_must_clip(trainer: pl.Trainer | None) -> bool:
    """A fused step unscales gradients inside the kernel, too late to clip or measure them (Lightning refuses it)."""
    if trainer is None or getattr(trainer.precision_plugin, "scaler", None) is None:
        return False
    return bool(trainer.gradient_clip_val) or not trainer.lightning_module.automatic_optimization
