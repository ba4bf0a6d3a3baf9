"""A perceptron of a few numbers, as policies and values of small environments have it (Schulman et al. 2017, 6.1)."""

from __future__ import annotations

import math

from torch import nn

from lightloom.core.ranges import Count, Positive


class Perceptron(nn.Sequential):
    """Numbers (..., inputs) to (..., outputs), with layers of `width` values and tanh between them.

    Weights are orthogonal, biases 0. gain: of the last layer; a small one lets a policy begin with all actions alike
    (Andrychowicz et al. 2021, section 3.2).
    """

    def __init__(
        self, inputs: Count, outputs: Count, width: Count = 64, depth: Count = 2, gain: Positive = 1.0
    ) -> None:
        super().__init__()
        for i in range(depth):
            self.extend([_linear(width if i else inputs, width, math.sqrt(2)), nn.Tanh()])
        self.append(_linear(width, outputs, gain))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
