"""Proximal policy optimization of an agent in an environment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightloom.data.environments.environment import Environment
from lightloom.modules.ppo import PPO, Episodes
from lightloom.ops.drawing import drawn
from lightloom.ops.rng import uniform, uniforms


class EnvironmentPPO(PPO):
    """network: what is seen, (..., observations), to logits (..., actions); critic: to (..., 1).

    Batches: keys int64 (B,), by which all chance of an episode is drawn, its actions too.
    """

    def __init__(self, environment: Environment, **options: Any) -> None:
        super().__init__(**options)
        self.environment = environment

    def forward(self, observations: Tensor) -> Tensor:
        """Logits (..., actions) of what is seen, (..., observations)."""
        return self.network(observations)  # type: ignore[no-any-return]

    @torch.no_grad()
    def play(self, keys: Tensor) -> Episodes:  # type: ignore[override]
        world = self.environment
        states = world.begin(uniforms(keys, 4))
        going, rows = torch.ones_like(keys, dtype=torch.bool), []
        for t in range(world.steps):
            seen = world.observe(states)
            actions = drawn(self(seen).float(), uniform(keys, 2 * t))
            after, rewards, over = world.step(states, actions, uniform(keys, 2 * t + 1))
            rows.append((seen, actions, rewards * going, going))
            states, going = torch.where(going[:, None], after, states), going & ~over
            if not going.any():
                break
        seen, actions, rewards, taken = (torch.stack(column, 1) for column in zip(*rows, strict=True))
        seen = torch.cat([seen, world.observe(states)[:, None]], 1)
        return Episodes(seen, actions, rewards, taken, going, {"score": rewards.sum(1)})

    def logits(self, network: nn.Module, episodes: Episodes) -> Tensor:
        return network(episodes.seen[:, :-1])  # type: ignore[no-any-return]

    def values(self, episodes: Episodes) -> Tensor:
        return self.critic(episodes.seen)[..., 0]  # type: ignore[no-any-return]
