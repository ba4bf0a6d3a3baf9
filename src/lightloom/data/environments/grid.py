"""A grid to walk through, from a start to a goal and past pits (Sutton & Barto 2018, section 3.5 and example 6.6)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import BelowOne, Count, NotNegative, checked

FLOOR, WALL, PIT, GOAL, START = ".", "#", "O", "G", "S"
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


@part
class Grid:
    """A map of lines of equal length: S where episodes begin, by chance one of them; G the goal, which pays 1; O a pit,
    which costs 1; # a wall. Goal and pits end an episode, each step costs `step_cost`.

    slip: probability that a step goes by chance to one of the four sides. The agent sees its place, one-hot.
    """

    names = ("up", "right", "down", "left")
    actions = 4

    @checked
    def __init__(
        self, rows: Sequence[str], steps: Count = 40, step_cost: NotNegative = 0.01, slip: BelowOne = 0.0
    ) -> None:
        self.rows, self.steps, self.step_cost, self.slip = [str(row) for row in rows], steps, step_cost, slip
        _check(self.rows)
        self.height, self.width = len(self.rows), len(self.rows[0])
        self.observations = self.height * self.width
        places = torch.tensor([[ord(sign) for sign in row] for row in self.rows]).flatten()
        self.wall, self.pit, self.goal = (places == ord(sign) for sign in (WALL, PIT, GOAL))
        self.starts = (places == ord(START)).nonzero().flatten()

    def begin(self, draws: Tensor) -> Tensor:
        chosen = (draws[:, 0] * len(self.starts)).long()
        return self.starts.to(draws.device)[chosen, None]

    def observe(self, states: Tensor) -> Tensor:
        return one_hot(states[:, 0], self.observations).float()

    def step(self, states: Tensor, actions: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places int64 (B, 1) after actions int64 (B,), numbers of MOVES; rewards (B,); whether each episode is over.

        draws: in [0, 1), (B,), by which a step slips. Who walks into a wall, or off the map, stays.
        """
        wall, pit, goal = (cells.to(states.device) for cells in (self.wall, self.pit, self.goal))
        slipped = (draws / max(self.slip, 1e-9) * 4).long().clamp(max=3)
        moves = torch.tensor(MOVES, device=states.device)[torch.where(draws < self.slip, slipped, actions)]
        row = (states[:, 0] // self.width + moves[:, 0]).clamp(0, self.height - 1)
        column = (states[:, 0] % self.width + moves[:, 1]).clamp(0, self.width - 1)
        there = row * self.width + column
        there = torch.where(wall[there], states[:, 0], there)
        rewards = goal[there].float() - pit[there].float() - self.step_cost
        return there[:, None], rewards, goal[there] | pit[there]

    def show(self, observation: Tensor) -> str:
        """The map, with @ where the agent is."""
        place = int(observation.argmax())
        signs = "".join(self.rows)
        seen = f"{signs[:place]}@{signs[place + 1 :]}"
        return "\n".join(seen[i : i + self.width] for i in range(0, len(seen), self.width))


def _check(rows: Sequence[str]) -> None:
    known = FLOOR + WALL + PIT + GOAL + START
    if not rows or len({len(row) for row in rows}) > 1 or not rows[0]:
        raise UserError("data.environment.rows are lines of different lengths, or none; expected a rectangle.")
    if strange := sorted({*"".join(rows)} - {*known}):
        raise UserError(f"data.environment.rows has {strange[0]!r}; expected {' '.join(known)}.")
    if missing := [sign for sign in (START, GOAL) if sign not in "".join(rows)]:
        raise UserError(f"data.environment.rows has no {missing[0]}; an episode begins at S and ends at G.")
