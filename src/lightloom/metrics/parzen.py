"""Parzen-window log-likelihood: real images under a Gaussian on each generated one.

Goodfellow et al. 2014, Generative Adversarial Nets, section 5: 10,000 samples, the bandwidth chosen on validation
images. High in variance and poor in high dimensions (A Note on the Evaluation of Generative Models, 2016), but what the
early papers report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightloom.metrics.pairwise import in_pieces

BANDWIDTHS = tuple(10 ** (-1.5 + step / 10) for step in range(16))  # 0.03 to 1, for pixels in [0, 1]


def log_likelihood(points: Tensor, samples: Tensor, bandwidth: float) -> Tensor:
    """log 1/M sum_j N(x_i; s_j, bandwidth^2 I) in nats. points: (N, D), samples: (M, D). Returns float64 (N,)."""
    return log_likelihoods(points, samples, [bandwidth])[0]


def log_likelihoods(points: Tensor, samples: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """`log_likelihood` for each of K bandwidths, from distances computed once. Returns float64 (K, N)."""
    exponents = torch.cat(
        [torch.stack([(d / (-2 * h**2)).logsumexp(1) for h in bandwidths]) for d in in_pieces(points, samples)], dim=1
    )
    log_scales = [math.log(len(samples)) + points.shape[1] * math.log(h * math.sqrt(2 * math.pi)) for h in bandwidths]
    return exponents - exponents.new_tensor(log_scales)[:, None]


def choose_bandwidth(validation: Tensor, samples: Tensor, bandwidths: Sequence[float] = BANDWIDTHS) -> float:
    """The bandwidth under which the validation images (N, D) are likeliest."""
    return bandwidths[int(log_likelihoods(validation, samples, bandwidths).mean(1).argmax())]


def mean_and_standard_error(values: Tensor) -> tuple[float, float]:
    """Mean and standard error of (N,) values, N at least 2."""
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))
