"""Penalties in closed form, and what a constraint leaves alone."""

import pytest
import torch
from torch import Tensor, nn

from lightloom.losses.lipschitz import R1, GradientPenalty, WeightClipping, input_gradient

REAL, FAKE = torch.rand(6, 2, 4, 4), torch.rand(6, 2, 4, 4)


class Linear(nn.Module):
    """f(x) = <w, x> + b, whose gradient is w everywhere."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        w = torch.randn(2, 4, 4)
        self.w, self.b = nn.Parameter(w * (norm / w.norm())), nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.w).flatten(1).sum(1) + self.b


class Quadratic(nn.Module):
    """f(x) = a ||x||^2 / 2, whose gradient is a x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x.flatten(1).square().sum(1) / 2


@pytest.mark.parametrize("norm", [0.5, 1.0, 3.0])
def test_gradient_penalty_of_a_linear_critic(norm):
    """(||w|| - 1)^2 times the weight, and its gradient 2 (||w|| - 1) w / ||w||."""
    critic = Linear(norm)
    penalty = GradientPenalty(weight=10.0)(critic, REAL, FAKE)
    assert penalty.item() == pytest.approx(10 * (norm - 1) ** 2, abs=1e-5)
    (gradient,) = torch.autograd.grad(penalty, critic.w)
    assert torch.allclose(gradient, 20 * (norm - 1) * critic.w.detach() / norm, atol=1e-4)


def test_gradient_penalty_is_between_real_and_fake():
    """For f(x) = ||x||^2 / 2 the gradient is the place itself, known where real and fake are the same."""
    same = REAL.clone()
    expected = (REAL.flatten(1).norm(dim=1) - 1).square().mean()
    assert float(GradientPenalty(1.0)(Quadratic(1.0), REAL, same)) == pytest.approx(float(expected), rel=1e-5)
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    GradientPenalty()(watched, torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2))
    (places,) = seen
    shares = places.flatten(1)
    assert torch.equal(shares.amin(1), shares.amax(1))  # one share for each image
    assert 0 <= float(shares.min()) < 0.2 < 0.8 < float(shares.max()) <= 1
    assert len(shares[:, 0].unique()) == 64


def test_r1_of_a_quadratic_discriminator():
    """weight / 2 * a^2 ||x||^2, on real images only."""
    a, weight = 0.7, 4.0
    expected = weight / 2 * a**2 * REAL.flatten(1).square().sum(1).mean()
    for fake in (FAKE, 100 * FAKE):
        assert float(R1(weight)(Quadratic(a), REAL, fake)) == pytest.approx(float(expected), rel=1e-5)


def test_input_gradient_agrees_with_finite_differences():
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    images, eps = REAL.double(), 1e-6
    found = input_gradient(network, images)
    for place in ((0, 0, 0), (1, 2, 3)):
        nudge = torch.zeros_like(images)
        nudge[(slice(None), *place)] = eps
        slope = (network(images + nudge) - network(images - nudge)) / (2 * eps)
        assert torch.allclose(found[(slice(None), *place)], slope, atol=1e-6)


def test_input_gradient_in_float16_autocast_keeps_what_would_underflow():
    """A gradient of 1e-6 is below float16's smallest normal number."""
    critic = Quadratic(1e-6)
    with torch.autocast("cpu", dtype=torch.float16):
        gradient = input_gradient(critic, REAL)
    assert torch.allclose(gradient, 1e-6 * REAL, rtol=1e-3, atol=0)


def test_clipping_bounds_every_weight_and_leaves_the_small_ones():
    critic = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(2, 1))
    before = [p.detach().clone() for p in critic.parameters()]
    WeightClipping(limit=0.05)(critic)
    for old, new in zip(before, critic.parameters(), strict=True):
        assert float(new.abs().max()) <= 0.05 + 1e-9
        assert torch.equal(new[old.abs() < 0.05], old[old.abs() < 0.05])
        assert torch.equal(new.sign(), old.sign())
