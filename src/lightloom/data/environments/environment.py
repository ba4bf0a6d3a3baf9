"""What an environment is: states that an action changes, for many episodes at a time."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Environment(Protocol):
    """Episodes beside each other, a row of a tensor each; nothing is kept between calls, and all chance is given.

    observations: numbers that an agent sees of a state. actions: from which it chooses. steps: of an episode at most.
    names: of the actions.
    """

    observations: int
    actions: int
    steps: int
    names: tuple[str, ...]

    def begin(self, draws: Tensor) -> Tensor:
        """States (B, S) in which episodes begin, of numbers in [0, 1), (B, 4)."""
        ...

    def observe(self, states: Tensor) -> Tensor:
        """What is seen of states (B, S): float32 (B, observations)."""
        ...

    def step(self, states: Tensor, actions: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, S) after actions, int64 (B,), rewards (B,), and whether each episode is over, bool (B,).

        draws: numbers in [0, 1), (B,), by which chance decides.
        """
        ...

    def show(self, observation: Tensor) -> str:
        """What is seen of a state, (observations,), for a person."""
        ...
