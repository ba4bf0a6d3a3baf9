"""Supervised fine-tuning: a language model learns to answer prompts (Ouyang et al. 2022, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from lightloom.modules.language_model import IGNORE, LanguageModel
from lightloom.modules.step_mean import StepMean
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule


class FineTuning(LanguageModel):
    """A language model whose batches ask for the ids of answers only; it begins with another's weights.

    The gradient is that of the mean over all ids of answers in a step, of all its accumulated parts and all processes
    together, however long they are.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__(network, optimizer, scheduler, optimizer_groups)
        self.asked = StepMean()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        ids, targets = batch
        total = cross_entropy(self(ids).flatten(0, 1).float(), targets.flatten(), reduction="sum")
        count = int((targets != IGNORE).sum())
        self.means.add(loss=total / max(count, 1))
        self.asked.add(count)
        return total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.asked.apply(self.trainer, optimizer)
