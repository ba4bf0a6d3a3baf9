"""Policy gradients: what the steps of episodes were worth, and what a policy minimises by that.

An episode is a row of at most T steps; `taken`, bool (B, T), are those that it has, side by side. Means are over the
steps of all processes together, so that several train what one does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightloom.ops.collectives import shared_sum

MOST_CHANGE = 0.2  # of the coefficient of a divergence, as a share of `gain`
TINY = 1e-8


def advantages(rewards: Tensor, values: Tensor, taken: Tensor, cut: Tensor, discount: float, decay: float) -> Tensor:
    """Generalized advantage estimates A_t = sum_l (discount decay)^l delta_{t + l}, (B, T), 0 where no step was taken.

    delta_t = r_t + discount V(s_{t + 1}) - V(s_t).  Schulman et al. 2016, eqs. 11 and 16. rewards: (B, T). values:
    (B, T + 1), of the state before each step and of that after the last. cut: bool (B,), was the episode ended from
    outside? Then what would have followed counts by its value; an episode that ended by itself is followed by nothing.
    """
    goes_on = torch.cat([taken[:, 1:], torch.zeros_like(taken[:, :1])], 1)
    followed = goes_on | (taken & cut[:, None])
    deltas = (rewards + discount * values[:, 1:] * followed - values[:, :-1]) * taken
    found, later = [], torch.zeros_like(deltas[:, 0])
    for delta, further in zip(deltas.unbind(1)[::-1], (goes_on & taken).unbind(1)[::-1], strict=True):
        later = delta + discount * decay * later * further
        found.append(later)
    return torch.stack(found[::-1], 1)


def mean_of(values: Tensor, taken: Tensor) -> Tensor:
    """The mean of values (B, T) over the steps that were taken, in all processes together; 0 where none was."""
    kept = torch.where(taken, values, torch.zeros_like(values))
    total, count = shared_sum(torch.stack([kept.sum(), taken.sum().to(kept.dtype)])).unbind()
    return total / count.clamp(min=1)


def whitened(values: Tensor, taken: Tensor) -> Tensor:
    """Values (B, T) less their mean and over their standard deviation, by the steps of all processes; 0 elsewhere."""
    apart = values - mean_of(values, taken)
    return apart / (mean_of(apart.square(), taken).sqrt() + TINY) * taken


def clipped_surrogate(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """-min(r A, clip(r, 1 - clip, 1 + clip) A) of each step (B, T), with r = p / p_old.  Schulman et al. 2017, eq. 7.

    log_ratio: (B, T), ln r. Its gradient is 0 where r has gone beyond the bound on the side to which A pulls it.
    """
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def clipped_value_loss(values: Tensor, old: Tensor, returns: Tensor, clip: float | None = None) -> Tensor:
    """(V - R)^2 / 2 of each step (B, T); with `clip` the larger of that and of V no farther than that from the old one.

    Schulman et al. 2017, eq. 9; the clip as in Engstrom et al. 2020, section 3.
    """
    errors = (values - returns).square()
    if clip is not None:
        near = old + (values - old).clamp(-clip, clip)
        errors = torch.maximum(errors, (near - returns).square())
    return errors / 2


def entropy(logits: Tensor) -> Tensor:
    """-sum_a p_a ln p_a in nats of each distribution: logits (..., A), finite, to (...)."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def log_likelihoods(logits: Tensor, actions: Tensor) -> Tensor:
    """ln p of each action, int64 (B, T), by logits (B, T, A)."""
    return logits.log_softmax(-1).gather(-1, actions[..., None])[..., 0]


def k1(log_p: Tensor, log_reference: Tensor) -> Tensor:
    """ln p - ln q (...) of what was drawn from p: without bias for KL(p || q), negative at times.  Schulman 2020."""
    return log_p - log_reference


def k3(log_p: Tensor, log_reference: Tensor) -> Tensor:
    """q / p - 1 - ln(q / p), (...), of what was drawn from p: without bias for KL(p || q), and never negative.

    Schulman 2020, Approximating KL Divergence.
    """
    difference = log_reference - log_p
    return difference.expm1() - difference


def adapted(coefficient: Tensor, divergence: Tensor, target: float, gain: float = 0.1) -> Tensor:
    """The coefficient () of a divergence () that is to come to `target`: larger where it is above.

    Ziegler et al. 2019, section 2.2: times 1 + gain clip(divergence / target - 1, -0.2, 0.2).
    """
    return coefficient * (1 + gain * (divergence / target - 1).clamp(-MOST_CHANGE, MOST_CHANGE))
