"""Manual optimization: a single step of one optimizer, and the optimizer of some of a module's networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Optimizer

from lightloom.modules.optimization import optimizer_of
from lightloom.optim.param_groups import OptimizerFactory


def descend(
    module: pl.LightningModule, optimizer: LightningOptimizer, *losses: Callable[[], Tensor], counts: bool = False
) -> None:
    """One step of one optimizer down its loss, or the sum of several, of which one at a time is in memory.

    The weights of the other optimizers take no part in it.

    counts: is this the step that `global_step` counts? Lightning would count every optimizer's (its issue #17958).
    """
    with module.toggled_optimizer(optimizer):
        optimizer.zero_grad()
        for loss in losses:
            module.manual_backward(loss())
        if counts:
            optimizer.step()
        else:  # the same, without Lightning's count
            module.trainer.strategy.optimizer_step(optimizer.optimizer, do_nothing_closure)


def player(module: Any, name: str, factory: OptimizerFactory, *networks: nn.Module) -> Optimizer:
    """The optimizer of one player's networks, which clips gradients to `module.gradient_clip_val` before each step.

    Their norm before that is added to `module.means` as `<name>_grad_norm`. A GradScaler has unscaled them by then; the
    steps that it leaves out do not count.
    """
    optimizer = optimizer_of(module, factory, module.optimizer_groups, networks)

    def before_step(*_: Any) -> None:
        module.means.add(**{f"{name}_grad_norm": clip_gradients(optimizer, module.gradient_clip_val)})

    optimizer.register_step_pre_hook(before_step)
    return optimizer


def clip_gradients(optimizer: Optimizer, max_norm: float | None) -> Tensor:
    """Scale an optimizer's gradients down to `max_norm` in all (None: leave them); returns their norm before."""
    weights = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in weights])
    if max_norm is not None:
        nn.utils.clip_grads_with_norm_(weights, max_norm, norm)
    return norm
