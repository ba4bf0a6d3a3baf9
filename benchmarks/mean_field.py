"""How signals grow or vanish with depth: the variances that the formulas give, and those of a network.

A layer y = W phi(y') + b of width n, weights of variance s^2 / n, biases of variance b^2, in the limit of wide layers:

- forward: Var y = s^2 E[phi(z)^2] + b^2, z normal with the variance of y' (He et al. 2015, equation 9; with tanh, which
  is the identity near 0, Glorot & Bengio 2010, equation 5);
- backward: Var dy' = s^2 E[phi'(z)^2] Var dy (He et al. 2015, equation 13; Glorot & Bengio 2010, equation 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lightloom.networks.initialization import initialize
from lightloom.networks.mlp import MLP

SCHEMES = ("default", "xavier", "he")
ACTIVATIONS = ("tanh", "relu")
GAIN = {"default": 1 / 3, "xavier": 1.0, "he": 2.0}  # s^2; PyTorch draws from U(-1 / sqrt(n), 1 / sqrt(n)),
BIAS = {"default": 1 / 3, "xavier": 0.0, "he": 0.0}  # biases too: n b^2
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(101)


class Signals(NamedTuple):
    """Variances by layer, from the input: of what each layer computes, (depth,), and of the loss' gradient by that,
    over the gradient's at the last one, (depth,).
    """

    forward: list[float]
    backward: list[float]


def formula(scheme: str, activation: str, depth: int, width: int, variance: float = 1.0) -> Signals:
    """variance: of the network's inputs, mean of the squares."""
    forward = [GAIN[scheme] * variance + BIAS[scheme] / width]
    for _ in range(depth - 1):
        forward.append(GAIN[scheme] * mean_square(activation, forward[-1]) + BIAS[scheme] / width)
    backward = [1.0]
    for q in reversed(forward[:-1]):
        backward.insert(0, GAIN[scheme] * mean_square_slope(activation, q) * backward[0])
    return Signals(forward, backward)


def mean_square(activation: str, variance: float) -> float:
    """E[phi(z)^2] for normal z of that variance."""
    return variance / 2 if activation == "relu" else _normal_mean(lambda z: np.tanh(z) ** 2, variance)


def mean_square_slope(activation: str, variance: float) -> float:
    """E[phi'(z)^2] for normal z of that variance."""
    return 0.5 if activation == "relu" else _normal_mean(lambda z: np.cosh(z) ** -4, variance)


def _normal_mean(f: Callable[[np.ndarray], np.ndarray], variance: float) -> float:
    return float(WEIGHTS @ f(NODES * math.sqrt(variance)) / WEIGHTS.sum())


def measured(scheme: str, activation: str, depth: int, width: int, seed: int = 0, inputs: int = 256) -> Signals:
    """Of one MLP whose layers are all of one width, on normal inputs; the last layer's gradient is normal too."""
    torch.manual_seed(seed)
    side = math.isqrt(width)
    network = MLP(1, width, side, [width] * (depth - 1), activation=activation)
    initialize(network, scheme)
    outputs = list[Tensor]()
    for layer in network:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda _, inputs, y: outputs.append(y) or y.clone())  # for a ReLU in place
    network(torch.randn(inputs, 1, side, side))
    gradients = torch.autograd.grad(outputs[-1], outputs, torch.randn_like(outputs[-1]))
    last = _variance(gradients[-1])
    return Signals([_variance(y) for y in outputs], [_variance(g) / last for g in gradients])


def _variance(x: Tensor) -> float:
    """The mean of squares, as means are 0 for symmetric weights."""
    return float(x.detach().square().mean())
