"""What each objective is at its optimum, against the papers' closed forms."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import softplus

from lightloom.losses.adversarial import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein

POINTS = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
STEP = float(POINTS[1] - POINTS[0])
P, Q = Normal(-1.0, 1.0), Normal(1.0, 1.5)  # the data's density and the generator's


def expectation(density: Normal, values: Tensor) -> Tensor:
    return (density.log_prob(POINTS).exp() * values).sum() * STEP


def test_optimal_discriminator_is_p_over_p_plus_q():
    """Goodfellow et al. 2014, proposition 1: by gradient descent on the scores of a 1-D pair of Gaussians."""
    points = torch.linspace(-4, 4, 81, dtype=torch.float64)
    p, q = (density.log_prob(points).exp() for density in (P, Q))
    scores = torch.zeros_like(points, requires_grad=True)
    loss = NonSaturating()
    for _ in range(200):
        terms = [p[i] * loss.discriminator(scores[i : i + 1], scores.new_full((1,), -800.0)) for i in range(81)]
        terms += [q[i] * loss.discriminator(scores.new_full((1,), 800.0), scores[i : i + 1]) for i in range(81)]
        (gradient,) = torch.autograd.grad(sum(terms), scores)
        curvature = (p + q) * scores.sigmoid() * (1 - scores.sigmoid())
        scores = (scores - (gradient / curvature).clamp(-1, 1)).detach().requires_grad_()  # Newton, point by point
    assert torch.allclose(loss.judgement(scores), p / (p + q), atol=1e-8)


def test_value_at_the_optimum_is_minus_log_4_where_p_is_q():
    """Theorem 1: the discriminator's value there is -log 4, so its loss is log 4."""
    scores = torch.zeros(7)
    assert float(NonSaturating().discriminator(scores, scores)) == pytest.approx(math.log(4))
    assert float(Minimax().discriminator(scores, scores)) == pytest.approx(math.log(4))


def test_value_elsewhere_is_the_jensen_shannon_divergence():
    """C(G) = -log 4 + 2 JSD(p, q), integrated on a grid."""
    p, q = (density.log_prob(POINTS).exp() for density in (P, Q))
    middle = (p + q) / 2
    divergence = (torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).nansum() * STEP / 2
    scores = P.log_prob(POINTS) - Q.log_prob(POINTS)
    value = -expectation(P, softplus(-scores)) - expectation(Q, softplus(scores))
    assert float(value) == pytest.approx(-math.log(4) + 2 * float(divergence), abs=1e-6)


def test_minimax_generator_minimises_what_the_discriminator_maximises():
    real, fake = torch.randn(5), torch.randn(5)
    loss = Minimax()
    rest = softplus(-real).mean()
    assert torch.allclose(loss.generator(fake), -(loss.discriminator(real, fake) - rest))


def test_non_saturating_gradient_does_not_vanish_where_minimax_does():
    gradients = {}
    for loss in (Minimax(), NonSaturating()):
        fake = torch.tensor([-20.0], requires_grad=True)
        (gradients[type(loss)],) = torch.autograd.grad(loss.generator(fake), fake)
    assert abs(float(gradients[Minimax])) < 1e-8
    assert float(gradients[NonSaturating]) == pytest.approx(-1.0)


def test_least_squares_optimum_is_p_over_p_plus_q():
    """Mao et al. 2017, eq. 5 with a = 0, b = 1: the weighted mean of the two targets."""
    p, q = 0.3, 0.9
    best = torch.tensor([p / (p + q)], requires_grad=True)
    nothing, loss = torch.zeros(1), LeastSquares()
    one = torch.ones(1)
    total = p * loss.discriminator(best, nothing) + q * loss.discriminator(one, best)
    (gradient,) = torch.autograd.grad(total, best)
    assert abs(float(gradient)) < 1e-7


@pytest.mark.parametrize("loss", [NonSaturating(), LeastSquares(), Wasserstein(), Hinge()])
def test_a_fooling_score_is_cheaper_for_the_generator_and_dearer_for_the_discriminator(loss):
    real, low, high = torch.tensor([0.5]), torch.tensor([0.1]), torch.tensor([0.8])
    assert loss.generator(high) < loss.generator(low)
    assert loss.discriminator(real, high) > loss.discriminator(real, low)


def test_hinge_is_flat_beyond_the_margin():
    loss = Hinge()
    assert float(loss.discriminator(torch.tensor([1.0, 7.0]), torch.tensor([-1.0, -9.0]))) == 0.0
    assert float(loss.discriminator(torch.tensor([0.0]), torch.tensor([0.0]))) == 2.0


def test_wasserstein_between_two_points_is_their_distance():
    """The best 1-Lipschitz critic of two points on a line is f(x) = x: its value is how far they are apart."""
    real, fake = torch.tensor([3.0, 3.0]), torch.tensor([-1.0, -1.0])
    assert float(-Wasserstein().discriminator(real, fake)) == 4.0
