"""Losses of pairs by their formulas: what they are at the start, what they do not depend on, their gradients."""

import math

import pytest
import torch

from lightloom.losses.preference import bradley_terry, dpo, implicit_rewards


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_who_knows_nothing_loses_ln_2():
    assert bradley_terry(torch.zeros(3), torch.zeros(3)).tolist() == pytest.approx([math.log(2)] * 3)
    assert dpo(noise(3, 2), noise(3, 2), 0.1).tolist() == pytest.approx([math.log(2)] * 3)


def test_a_constant_added_to_all_rewards_changes_nothing():
    chosen, rejected = noise(50), noise(50, seed=1)
    torch.testing.assert_close(bradley_terry(chosen + 7, rejected + 7), bradley_terry(chosen, rejected))


def test_rewards_of_five_items_are_found_up_to_a_constant():
    """By as many comparisons as the model itself expects: the likelihood has its top there (Bradley & Terry 1952)."""
    truth, found = noise(5), torch.zeros(5, dtype=torch.float64, requires_grad=True)
    one, other = torch.combinations(torch.arange(5)).T
    shares = (truth[one] - truth[other]).sigmoid()
    search = torch.optim.LBFGS([found], max_iter=100, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        losses = shares * bradley_terry(found[one], found[other]) + (1 - shares) * bradley_terry(
            found[other], found[one]
        )
        losses.sum().backward()
        return losses.sum()

    search.step(loss)
    torch.testing.assert_close(found.detach() - found.detach().mean(), truth - truth.mean(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_the_gradient_is_that_of_the_paper(beta):
    """- beta sigmoid(r_rejected - r_chosen) for the chosen answer's log-probability, its opposite for the other's."""
    policy, reference = noise(4, 2).requires_grad_(), noise(4, 2, seed=1)
    dpo(policy, reference, beta).sum().backward()
    rewards = implicit_rewards(policy.detach(), reference, beta)
    expected = beta * (rewards[:, 1] - rewards[:, 0]).sigmoid()
    torch.testing.assert_close(policy.grad, torch.stack([-expected, expected], 1))


def test_the_policy_that_is_best_for_a_reward_has_it_as_its_implicit_reward():
    """p ~ p_ref exp(r / beta), of which r is known up to a constant (Rafailov et al. 2023, eq. 4 and 5)."""
    reward, reference = noise(6), noise(6, seed=1).log_softmax(0)
    policy = (reference + reward / 0.3).log_softmax(0)
    found = implicit_rewards(policy, reference, 0.3)
    torch.testing.assert_close(found - found.mean(), reward - reward.mean())
