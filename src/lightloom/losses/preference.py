"""Losses of pairs of which one was preferred, each of a pair, in nats: ln 2 where nothing is known."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-ln sigmoid(chosen - rejected), (B,) of scores (B,): a constant added to all scores changes nothing.

    Bradley & Terry 1952; Ouyang et al. 2022, eq. 1.
    """
    return softplus(rejected - chosen)


def implicit_rewards(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """beta (ln pi(y|x) - ln pi_ref(y|x)), (...) of two log-probabilities (...): what reward the policy is the best for.

    Up to a constant of each prompt (Rafailov et al. 2023, eq. 5).
    """
    return beta * (policy - reference)


def dpo(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """-ln sigmoid of the difference of implicit rewards, (B,) of log-probabilities (B, 2), the chosen answer's first.

    Rafailov et al. 2023, eq. 7.
    """
    rewards = implicit_rewards(policy, reference, beta)
    return bradley_terry(rewards[:, 0], rewards[:, 1])
