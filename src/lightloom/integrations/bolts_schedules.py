"""Learning-rate schedules of lightning-bolts over a run of known length, as lightloom.optim.schedules has its own."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightloom.core.parts import part
from lightloom.core.ranges import Share
from lightloom.integrations.bolts import load
from lightloom.optim.schedules import Schedule, known, per_step


@part
def warmup_cosine(
    optimizer: Optimizer, total_steps: int, warmup: Share = 0.05, start: Share = 0.01, final: Share = 0.0
) -> Schedule:
    """LinearWarmupCosineAnnealingLR: a line up to the rate over the first `warmup` share, then half a cosine down.

    From `start` to `final`, as multiples of the first parameter group's rate, the same for all groups.
    """
    total_steps = known(total_steps)
    rise = round(warmup * total_steps)
    rise = max(rise, 2) if rise else 0  # a line has two ends
    base = load("pl_bolts.optimizers.lr_scheduler").LinearWarmupCosineAnnealingLR

    class ClosedForm(base):  # type: ignore[misc, valid-type]
        """Its recursion would keep the length of a run that has become longer, and a rate of 0 for ever."""

        def get_lr(self) -> list[float]:
            return self._get_closed_form_lr()

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            own = {name: getattr(self, name) for name in ("warmup_epochs", "max_epochs")}
            super().load_state_dict({**state_dict, **own})

    rate = optimizer.param_groups[0]["lr"]
    return per_step(ClosedForm(optimizer, rise, max(total_steps, rise + 1), start * rate, final * rate))


@part
def warmup_linear(optimizer: Optimizer, total_steps: int, warmup: Share = 0.05) -> Schedule:
    """linear_warmup_decay: from 0 up to the rate over the first `warmup` share of the run, and a line down to 0."""
    total_steps = known(total_steps)
    decay = load("pl_bolts.optimizers.lr_scheduler").linear_warmup_decay
    factor = decay(round(warmup * total_steps), total_steps, cosine=False, linear=True)
    return per_step(LambdaLR(optimizer, factor))
