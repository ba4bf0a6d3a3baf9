"""The mean over all items of an optimizer step, however unequally batches have them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightloom.ops.collectives import shared_sum


class StepMean:
    """Of a loss that is a sum over items, such as words: makes the step's gradient that of the mean over all of them,
    of all its accumulated parts and all processes together.

    A module adds the number of each batch's items, and applies it in `on_before_optimizer_step`.
    """

    def __init__(self) -> None:
        self.count: int | Tensor = 0  # since the last step, of this process

    def add(self, count: int | Tensor) -> None:
        self.count = self.count + count

    def apply(self, trainer: Any, optimizer: Optimizer) -> None:
        """From the sum to the mean: Lightning has divided by the accumulated parts, DDP by processes."""
        own = torch.as_tensor(self.count, dtype=torch.float32, device=trainer.strategy.root_device)
        factor = trainer.accumulate_grad_batches * trainer.world_size / shared_sum(own).clamp(min=1)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        self.count = 0
