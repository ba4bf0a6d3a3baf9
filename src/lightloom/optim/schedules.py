"""Learning-rate schedules over a run of known length, as Lightning's scheduler configurations.

Each takes the optimizer and the run's number of optimizer steps; the rates themselves are torch's schedulers'.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from annotated_types import Gt, Lt
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedules

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, Natural, Positive, Share
from lightloom.ops.torch_internals import ONE_CYCLE_LENGTH

Schedule = dict[str, Any]


@part
def constant(optimizer: Optimizer, total_steps: int) -> Schedule:
    """Keep the optimizer's rate; stepped once per epoch, for nothing depends on it."""
    return {"scheduler": torch_schedules.LambdaLR(optimizer, lambda epoch: 1.0), "interval": "epoch", "frequency": 1}


@part
def step(
    optimizer: Optimizer, total_steps: int, milestones: Sequence[Share], factor: Annotated[float, Gt(0), Lt(1)]
) -> Schedule:
    """Multiply by `factor` at each milestone, given as a share of the run in [0, 1]."""
    total_steps = known(total_steps)
    at = [round(m * total_steps) for m in milestones]
    return per_step(torch_schedules.LambdaLR(optimizer, lambda step: factor ** sum(step >= m for m in at)))


@part
def cosine(optimizer: Optimizer, total_steps: int, warmup: Share = 0.0, final: Share = 0.0) -> Schedule:
    """Linear rise over the first `warmup` share, then (1 + cos(pi t)) / 2 down to `final` times the rate.

    Loshchilov & Hutter 2017, eq. 5, with one period; warm-up as Goyal et al. 2017, section 2.2.
    """
    total_steps = known(total_steps)
    rise = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        progress = min((step - rise) / max(total_steps - rise, 1), 1.0)
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return per_step(torch_schedules.LambdaLR(optimizer, factor))


@part
def noam(optimizer: Optimizer, total_steps: int, warmup: Count) -> Schedule:
    """A line up to the optimizer's rate over `warmup` steps, then down with the root of the steps, however many.

    Vaswani et al. 2017, eq. 3, dim^-0.5 min(step^-0.5, step warmup^-1.5), is this with a rate of (dim warmup)^-0.5;
    step counts from 1.
    """

    def factor(step: int) -> float:
        return float(warmup**0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5))

    return per_step(torch_schedules.LambdaLR(optimizer, factor))


@part
def one_cycle(optimizer: Optimizer, total_steps: int, rise: Share = 0.3) -> Schedule:
    """Up to the optimizer's rate over the first `rise` share, then down to almost nothing (Smith & Topin 2018).

    Momentum, or Adam's beta1, goes the other way, between 0.95 and 0.85, where the optimizer uses one.
    """
    total_steps = known(total_steps)
    rates = [group["lr"] for group in optimizer.param_groups]
    momentum = all(group.get("momentum") or "betas" in group for group in optimizer.param_groups)
    return per_step(_OneCycle(optimizer, rates, max(total_steps, 2) + 1, pct_start=rise, cycle_momentum=momentum))


@part
def triangular(
    optimizer: Optimizer, total_steps: int, rise: Share = 0.2, start: Share = 0.0, final: Share = 0.0
) -> Schedule:
    """A line from `start` times the rate up to it over the first `rise` share, and one down to `final` times it.

    Page 2019 (How to Train Your ResNet); Jordan 2024, arXiv:2404.00498, listing 4. A step's rate is the line's at its
    middle, so that none is zero.
    """
    total_steps = known(total_steps)
    peak = rise * total_steps

    def factor(step: int) -> float:
        middle = min(step + 0.5, total_steps)
        if middle < peak:
            return start + (1 - start) * middle / peak
        return final + (1 - final) * (total_steps - middle) / max(total_steps - peak, 1)

    return per_step(torch_schedules.LambdaLR(optimizer, factor))


@part
def range_test(optimizer: Optimizer, total_steps: int, low: Positive, high: Positive) -> Schedule:
    """From `low` to `high` over the run, evenly on a logarithmic scale; groups keep the ratio of their rates.

    Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3.
    """
    last, own = max(known(total_steps) - 1, 1), optimizer.defaults["lr"]
    return per_step(torch_schedules.LambdaLR(optimizer, lambda step: low / own * (high / low) ** (step / last)))


@part
def plateau(
    optimizer: Optimizer,
    total_steps: int,
    monitor: str,
    mode: Literal["min", "max"],
    factor: Annotated[float, Gt(0), Lt(1)],
    patience: Natural,
) -> Schedule:
    """Multiply by `factor` when `monitor` has not improved for `patience` epochs.

    Lightning takes this step after the epoch's checkpoint is written and would lose it when a run is resumed;
    where there is a `RunCheckpoint`, that takes it before.
    """
    scheduler = torch_schedules.ReduceLROnPlateau(optimizer, mode=mode, factor=factor, patience=patience)
    return {"scheduler": scheduler, "monitor": monitor, "interval": "epoch", "frequency": 1}


class _OneCycle(torch_schedules.OneCycleLR):
    """OneCycleLR that keeps its own length on load: a resumed run may have become longer."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = {name: getattr(self, name) for name in ONE_CYCLE_LENGTH}
        super().load_state_dict({**state_dict, **own})


def known(total_steps: int) -> int:
    """The run's number of optimizer steps; UserError where it is endless."""
    if total_steps == sys.maxsize:
        raise UserError(
            "This schedule follows a run of known length; set trainer.max_epochs or trainer.max_steps, or use "
            "scheduler=constant or scheduler=plateau."
        )
    return total_steps


def per_step(scheduler: torch_schedules.LRScheduler) -> Schedule:
    """Lightning's configuration of a scheduler that steps with the optimizer."""
    return {"scheduler": scheduler, "interval": "step", "frequency": 1}
