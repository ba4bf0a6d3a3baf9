"""Which parameters an optimizer gets, and with what rate and decay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lightloom.core.errors import UserError
from lightloom.optim.groups import PLAIN, WHERE, NamedParameters, OptimizerGroups
from lightloom.optim.layer_decay import layer_scales

OptimizerFactory = Callable[..., Optimizer]


def build_optimizer(
    factory: OptimizerFactory,
    module: nn.Module,
    groups: OptimizerGroups = PLAIN,
    networks: Sequence[nn.Module] | None = None,
    may_fuse: bool = True,
) -> Optimizer:
    """The optimizer over the module's parameters, in groups; biases and norms (one-dimensional) do not decay.

    factory: a preset of configs/optimizer, a partial that still wants its parameters. networks: the parts of the module
    that it trains; None for all. Layers are counted in each of them (in each child of the module). may_fuse: False
    where a fused step is not allowed. Raises UserError for a value that the optimizer refuses.
    """
    options: dict[str, Any] = dict(factory.keywords) if isinstance(factory, partial) else {}
    groups.check(module)
    members = parameter_groups(module, options.get("weight_decay") or 0.0, options.get("lr"), groups, networks)
    unfused = {"fused": False} if options.get("fused") and not may_fuse else {}
    try:
        optimizer = factory(members, **unfused)
    except (TypeError, ValueError) as error:
        raise UserError(f"model.optimizer: {error}; correct that option of the optimizer.") from error
    if groups.decay and "weight_decay" not in optimizer.defaults:
        raise UserError(f"{WHERE}.decay: {type(optimizer).__name__} has no weight decay; choose another optimizer.")
    return optimizer


def parameter_groups(
    module: nn.Module,
    weight_decay: float,
    lr: float | None = None,
    groups: OptimizerGroups = PLAIN,
    networks: Sequence[nn.Module] | None = None,
) -> list[dict[str, Any]]:
    """One group for each rate and decay, in the order of their parameters; that of the optimizer's own comes last.

    Without options: what does not decay, then what does, as timm's `param_groups_weight_decay`, whose import takes a
    second. A group has a rate where it is not the optimizer's.
    """
    parts = list(module.children()) if networks is None else networks
    scales = {} if groups.layer_decay is None else layer_scales(parts, groups.layer_decay)
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in groups.trained(_named(module, networks)):
        factor = groups.lr_factor(name, parameter) * scales.get(parameter, 1.0)
        members.setdefault((groups.weight_decay(name, parameter, weight_decay), factor), []).append(parameter)
    _check_rate(groups, lr, any(factor != 1.0 for _, factor in members))
    return [
        {"params": parameters, "weight_decay": decay} | ({} if lr is None or factor == 1.0 else {"lr": factor * lr})
        for (decay, factor), parameters in sorted(members.items(), key=lambda item: item[0] == (weight_decay, 1.0))
    ]


def _named(module: nn.Module, networks: Sequence[nn.Module] | None) -> NamedParameters:
    """The parameters of the networks, or all, by their names in the module."""
    if networks is None:
        return list(module.named_parameters())
    wanted = {parameter for network in networks for parameter in network.parameters()}
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter in wanted]


def _check_rate(groups: OptimizerGroups, lr: float | None, differ: bool) -> None:
    if lr is None and differ:
        own = groups.bias_lr_multiplier not in (None, 1.0)
        option = f"model.bias_lr is {groups.bias_lr_multiplier}" if own else f"{WHERE} has multiples"
        raise UserError(f"{option} times a rate that this optimizer is not given; set model.optimizer.lr.")
