"""A bandit: one state, one step, and the question which arm to pull (Robbins 1952)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Share, checked


@part
class Bandit:
    """Arm a pays 1 with probability `means[a]`, else 0. It looks the same at all times."""

    observations, steps = 1, 1

    @checked
    def __init__(self, means: Sequence[Share] = (0.2, 0.4, 0.5, 0.8)) -> None:
        if len(means) < 2:
            raise UserError(f"data.environment.means has {len(means)} arms; expected two or more.")
        self.means = torch.tensor([float(mean) for mean in means])
        self.actions = len(self.means)
        self.names = tuple(f"arm {i + 1}" for i in range(self.actions))

    def begin(self, draws: Tensor) -> Tensor:
        return torch.ones(len(draws), 1, device=draws.device)

    def observe(self, states: Tensor) -> Tensor:
        return states

    def step(self, states: Tensor, actions: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        paid = (draws < self.means.to(draws.device)[actions]).float()
        return states, paid, torch.ones_like(actions, dtype=torch.bool)

    def show(self, observation: Tensor) -> str:
        return ""
