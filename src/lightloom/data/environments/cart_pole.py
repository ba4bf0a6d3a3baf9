"""A pole on a cart that is pushed to the left or to the right (Barto, Sutton & Anderson 1983)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightloom.core.parts import part
from lightloom.core.ranges import Count, checked

GRAVITY, CART, POLE, HALF, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02  # kg, m, N; their appendix
WIDEST, STEEPEST = 2.4, math.radians(12)  # where an episode ends
SPREAD = 0.05


@part
class CartPole:
    """Each step in which the pole stands, within 12 degrees, and the cart is within 2.4 m, pays 1.

    States: place (m), speed, angle (radians) and its speed, moved by Euler's method in steps of 0.02 s, as the authors
    and OpenAI Gym have it. steps: 200 of its CartPole-v0, 500 of v1.
    """

    observations, actions = 4, 2
    names = ("left", "right")

    @checked
    def __init__(self, steps: Count = 200) -> None:
        self.steps = steps

    def begin(self, draws: Tensor) -> Tensor:
        return (draws - 0.5) * 2 * SPREAD

    def observe(self, states: Tensor) -> Tensor:
        return states

    def step(self, states: Tensor, actions: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, 4) after actions int64 (B,), 1 a push to the right; rewards (B,); whether each episode is over.

        The accelerations are those of their appendix, without friction; draws are not needed.
        """
        place, speed, angle, turning = states.unbind(1)
        force = torch.where(actions == 1, FORCE, -FORCE).to(states.dtype)
        pushed = (force + POLE * HALF * turning.square() * angle.sin()) / (CART + POLE)
        inertia = HALF * (4 / 3 - POLE * angle.cos().square() / (CART + POLE))
        falling = (GRAVITY * angle.sin() - angle.cos() * pushed) / inertia
        gaining = pushed - POLE * HALF * falling * angle.cos() / (CART + POLE)
        changes = torch.stack([speed, gaining, turning, falling], 1)
        states = states + SECONDS * changes
        over = (states[:, 0].abs() > WIDEST) | (states[:, 2].abs() > STEEPEST)
        return states, torch.ones_like(place), over

    def show(self, observation: Tensor) -> str:
        """A line of 2.4 m to each side with the cart, and the pole's angle."""
        at = round((float(observation[0]) / WIDEST + 1) * 20)
        line = "".join("#" if i == at else "-" for i in range(41))
        return f"{line} {math.degrees(float(observation[2])):+6.2f} degrees"
