"""What the algorithms share about optimizers: which parameters decay, and when a fused step is allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer

from lightloom.core.errors import UserError

OptimizerFactory = Callable[..., Optimizer]


def build_optimizer(
    factory: OptimizerFactory, network: nn.Module, trainer: pl.Trainer | None = None, bias_lr: float = 1.0
) -> Optimizer:
    """The optimizer over the network's trainable parameters; biases and norms (one-dimensional) do not decay.

    factory: a preset of configs/optimizer, a partial that still wants its parameters. bias_lr: the learning rate of
    biases and norms, as a multiple of the preset's. Raises UserError for a value that the optimizer refuses.
    """
    options: dict[str, Any] = dict(factory.keywords) if isinstance(factory, partial) else {}
    decay = options.get("weight_decay") or 0.0
    if bias_lr != 1.0 and "lr" not in options:
        raise UserError(f"model.bias_lr is {bias_lr} times a rate that this optimizer is not given; set it to 1.")
    groups = parameter_groups(network, decay, options.get("lr"), bias_lr)
    unfused = {"fused": False} if options.get("fused") and _scaler_must_clip(trainer) else {}
    try:
        return factory(groups, **unfused)
    except (TypeError, ValueError) as error:
        raise UserError(f"model.optimizer: {error}; correct that option of the optimizer.") from error


def parameter_groups(
    network: nn.Module, weight_decay: float, lr: float | None = None, bias_lr: float = 1.0
) -> list[dict[str, Any]]:
    """What does not decay, then what does: as timm's `param_groups_weight_decay`, whose import takes a second.

    One group where both are treated alike.
    """
    flat, deep = (0.0, bias_lr), (weight_decay, 1.0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {flat: [], deep: []}
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups[flat if parameter.ndim <= 1 else deep].append(parameter)
    return [
        {"params": parameters, "weight_decay": decay} | ({} if lr is None or factor == 1.0 else {"lr": factor * lr})
        for (decay, factor), parameters in groups.items()
        if parameters
    ]


def _scaler_must_clip(trainer: pl.Trainer | None) -> bool:
    """A fused step unscales gradients inside the kernel, too late to clip or measure them (Lightning refuses it)."""
    if trainer is None or getattr(trainer.precision_plugin, "scaler", None) is None:
        return False
    return bool(trainer.gradient_clip_val) or not trainer.lightning_module.automatic_optimization
