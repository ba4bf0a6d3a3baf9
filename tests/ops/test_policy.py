"""What policies are trained by, against closed forms and slow references."""

from __future__ import annotations

import math

import pytest
import torch

from lightloom.ops import policy


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LENGTHS = torch.tensor([5, 3, 1, 0])
TAKEN = torch.arange(5) < LENGTHS[:, None]


@pytest.mark.parametrize(("discount", "decay"), [(0.9, 0.8), (1.0, 1.0), (0.9, 0.0), (1.0, 0.95)])
@pytest.mark.parametrize("cut", [[True, False, True, True], [False, True, False, False]])
def test_advantages_are_the_sums_of_the_paper(discount, decay, cut):
    rewards, values, cut = drawn(4, 5), drawn(4, 6, seed=1), torch.tensor(cut)
    found = policy.advantages(rewards, values, TAKEN, cut, discount, decay)
    for i, length in enumerate(LENGTHS.tolist()):
        after = [*values[i, 1:length].tolist(), float(values[i, length]) if cut[i] else 0.0]
        deltas = [rewards[i, t] + discount * after[t] - values[i, t] for t in range(length)]
        for t in range(5):
            expected = sum((discount * decay) ** k * delta for k, delta in enumerate(deltas[t:]))
            assert float(found[i, t]) == pytest.approx(float(expected), abs=1e-14)
        if decay == 1 and length:  # the return less the value
            returned = sum(discount**t * rewards[i, t] for t in range(length)) + discount**length * after[-1]
            assert float(found[i, 0] + values[i, 0]) == pytest.approx(float(returned), abs=1e-14)


def test_what_lies_beyond_an_episode_changes_nothing():
    rewards, values, cut = drawn(4, 5), drawn(4, 6, seed=1), torch.ones(4, dtype=torch.bool)
    beyond = torch.cat([~TAKEN[:, :1], ~TAKEN], 1) & torch.cat([~TAKEN, torch.ones(4, 1, dtype=torch.bool)], 1)
    other = policy.advantages(
        torch.where(TAKEN, rewards, 99.0), torch.where(beyond, 99.0, values), TAKEN, cut, 0.9, 0.8
    )
    assert torch.equal(policy.advantages(rewards, values, TAKEN, cut, 0.9, 0.8), other)


def test_whitened_is_of_mean_0_and_deviation_1_over_what_was_taken():
    found = policy.whitened(drawn(4, 5) * 3 + 2, TAKEN)
    assert float(found[TAKEN].mean()) == pytest.approx(0, abs=1e-12)
    assert float(found[TAKEN].std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert not found[~TAKEN].any()
    assert not policy.whitened(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)).any()


def test_at_ratio_1_the_gradient_is_that_of_reinforce():
    """Williams 1992: the mean of A grad ln p."""
    logits, actions, advantage = drawn(4, 5, 3), torch.arange(20).view(4, 5) % 3, drawn(4, 5, seed=2)
    gradients = []
    for is_clipped in (True, False):
        given = logits.clone().requires_grad_()
        log_p = policy.log_likelihoods(given, actions)
        loss = policy.clipped_surrogate(log_p - log_p.detach(), advantage, 0.2) if is_clipped else -log_p * advantage
        gradients += torch.autograd.grad(loss.mean(), given)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [(1.3, 1.0, False), (1.3, -1.0, True), (0.7, -1.0, False), (0.7, 1.0, True), (1.1, 1.0, True), (1.1, -1.0, True)],
)
def test_a_step_beyond_the_bound_pulls_only_back(ratio, advantage, moves):
    log_ratio = torch.tensor(math.log(ratio), dtype=torch.float64, requires_grad=True)
    loss = policy.clipped_surrogate(log_ratio, torch.tensor(advantage), 0.2)
    (gradient,) = torch.autograd.grad(loss, log_ratio)
    assert float(gradient) == pytest.approx(-ratio * advantage if moves else 0)
    inside = min(max(ratio, 0.8), 1.2)
    assert float(loss.detach()) == pytest.approx(-min(ratio * advantage, inside * advantage))


def test_a_value_goes_no_farther_than_its_clip():
    old, returns = torch.zeros(3), torch.ones(3)
    values = torch.tensor([0.1, 0.5, 2.0], requires_grad=True)
    loss = policy.clipped_value_loss(values, old, returns, 0.2)
    assert loss.tolist() == pytest.approx([0.405, 0.32, 0.5])
    (gradient,) = torch.autograd.grad(loss.sum(), values)
    assert gradient.tolist() == pytest.approx([-0.9, 0, 1])
    assert policy.clipped_value_loss(values, old, returns).tolist() == pytest.approx([0.405, 0.125, 0.5])


def test_entropy_is_that_of_the_distribution():
    assert float(policy.entropy(torch.zeros(4))) == pytest.approx(math.log(4))
    logits = torch.tensor([0.0, 0.0, -1e9], requires_grad=True)
    found = policy.entropy(logits)
    (gradient,) = torch.autograd.grad(found, logits)
    assert float(found.detach()) == pytest.approx(math.log(2))
    assert gradient.isfinite().all()


def test_estimates_of_the_divergence_are_right_on_average():
    """Summed over all three draws by their probability: the divergence itself; k3 of each is never negative."""
    log_p, log_q = (drawn(3, seed=i).log_softmax(0) for i in range(2))
    exact = (log_p.exp() * (log_p - log_q)).sum()
    for estimate in (policy.k1, policy.k3):
        torch.testing.assert_close((log_p.exp() * estimate(log_p, log_q)).sum(), exact, rtol=1e-12, atol=1e-15)
        assert not estimate(log_p, log_p).any()
    assert (policy.k3(drawn(1000), drawn(1000, seed=1)) >= 0).all()
    assert (policy.k1(log_p, log_q) < 0).any()


def test_the_weight_of_a_divergence_follows_it():
    beta = torch.tensor(0.5)
    changed = [float(policy.adapted(beta, torch.tensor(kl), 10.0)) for kl in (0.0, 9.0, 10.0, 11.0, 99.0)]
    assert changed == pytest.approx([0.49, 0.495, 0.5, 0.505, 0.51])
