"""Environments of Gymnasium, the interface that OpenAI's Gym became (Towers et al. 2024): the extra `gymnasium`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightloom.core.errors import UserError, check_installed
from lightloom.core.parts import part
from lightloom.core.ranges import Count, checked

HALF = 2**16  # of a seed, which two numbers draw


@part
class GymnasiumEnvironment:
    """name: as `gymnasium.make` knows it, `CartPole-v1`, with actions that can be counted. What is seen is flattened.

    An episode is seeded by its first draws and has no other chance. States are the numbers of the worlds in which the
    episodes of the last `begin` are played; those of one before are gone. steps: null for the world's own limit.
    options: of the world, numbers and flags.
    """

    @checked
    def __init__(
        self, name: str, steps: Count | None = None, options: Mapping[str, bool | int | float] | None = None
    ) -> None:
        check_installed("data=gymnasium", "gymnasium", "gymnasium")
        self.name, self.options = name, dict(options or {})
        if strange := [key for key, value in self.options.items() if not isinstance(value, bool | int | float)]:
            raise UserError(f"data.environment.options.{strange[0]} is no number, true or false; leave it out.")
        first = self._made()
        self.worlds, self.seen, self.over = [first], torch.zeros(0), torch.zeros(0, dtype=torch.bool)
        self.actions, self.first_action = counted(name, first.action_space)
        self.names = tuple(map(str, range(self.actions)))
        self.steps = limit(name, steps)
        self.observations = flat_size(first.observation_space)

    def begin(self, draws: Tensor) -> Tensor:
        high, low = (draws[:, :2].double() * HALF).long().unbind(1)
        self.worlds += [self._made() for _ in range(len(draws) - len(self.worlds))]
        seeds = (high * HALF + low).tolist()
        begun = [world.reset(seed=seed)[0] for world, seed in zip(self.worlds, seeds, strict=False)]
        self.seen = torch.stack([self._flatten(one) for one in begun])
        self.over = torch.zeros(len(draws), dtype=torch.bool)
        return torch.arange(len(draws), device=draws.device)[:, None]

    def observe(self, states: Tensor) -> Tensor:
        return self.seen[states[:, 0].cpu()].to(states.device)

    def step(self, states: Tensor, actions: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is over stays as it is, and pays nothing; draws are not needed."""
        rewards = torch.zeros(len(states))
        for row, (i, action) in enumerate(zip(states[:, 0].tolist(), actions.tolist(), strict=True)):
            if not self.over[i]:
                seen, reward, ended, cut, _ = self.worlds[i].step(self.first_action + action)
                self.seen[i], rewards[row], self.over[i] = self._flatten(seen), float(reward), ended or cut
        return states, rewards.to(states.device), self.over[states[:, 0].cpu()].to(states.device)

    def show(self, observation: Tensor) -> str:
        return " ".join(f"{value:+.3g}" for value in observation.tolist())

    def _made(self) -> Any:
        """A world without a limit of its own: an episode that is cut is not one that is over."""
        import gymnasium

        if ":" in self.name:
            raise UserError(f"data.name={self.name}: no module is imported for an environment; name one without a ':'.")
        try:
            with warnings.catch_warnings(action="ignore"):  # of versions that are old
                return gymnasium.make(self.name, max_episode_steps=-1, disable_env_checker=True, **self.options)
        except (gymnasium.error.Error, TypeError) as error:
            raise UserError(f"data.name={self.name}: {error} See gymnasium.pprint_registry() for all.") from error

    def _flatten(self, seen: Any) -> Tensor:
        """float32 (observations,); what is one of several is one-hot."""
        from gymnasium.spaces import flatten

        return torch.as_tensor(flatten(self.worlds[0].observation_space, seen)).float()


def flat_size(space: Any) -> int:
    """The numbers of what is seen, flattened."""
    from gymnasium.spaces import flatdim

    return int(flatdim(space))


def counted(name: str, space: Any) -> tuple[int, int]:
    """How many actions there are, and the number of the first; UserError where they cannot be counted."""
    from gymnasium.spaces import Discrete

    if not isinstance(space, Discrete):
        raise UserError(
            f"data.name={name}: its actions are {space}, and these agents choose from some that are counted."
        )
    return int(space.n), int(space.start)


def limit(name: str, steps: int | None) -> int:
    """The steps that are asked for, or the world's own limit; UserError where there is none."""
    import gymnasium

    found = steps or gymnasium.spec(name).max_episode_steps
    if found is None:
        raise UserError(f"data.name={name}: its episodes have no limit; set data.environment.steps=1000.")
    return int(found)
