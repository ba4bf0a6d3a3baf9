"""The gradient of a mean over all tokens of a step, however unequally its parts and processes have them."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightloom.ops.collectives import shared_sum


class TokenMean(nn.Module):
    """A module's training step returns a sum over tokens and says here how many they were; before the optimizer's step
    gradients become those of the mean over all: Lightning has divided by accumulated parts, DDP by processes.

    Its owner leaves `<its name>.count` out of what DDP exchanges.
    """

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()), persistent=False)  # since the last step, of this process

    def of(self, total: Tensor, count: int) -> Tensor:
        """The mean that a log is told, () of the sum () over so many tokens, which are counted."""
        self.count += count
        return total / max(count, 1)

    def scale(self, optimizer: Optimizer, trainer: pl.Trainer) -> None:
        """Divide the gradients by the tokens, and begin to count anew."""
        parts: Any = trainer.accumulate_grad_batches * trainer.world_size
        factor = parts / shared_sum(self.count.clone()).clamp(min=1)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        self.count.zero_()
