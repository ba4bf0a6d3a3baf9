"""Likelihoods and divergences against torch.distributions, and that probabilities sum to one."""

import itertools

import pytest
import torch
from torch import distributions as d

from lightloom.core.errors import UserError
from lightloom.losses.likelihoods import (
    Bernoulli,
    Gaussian,
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
    kl_divergence,
)
from lightloom.ops.rng import mix_tensor


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def keys(n: int) -> torch.Tensor:
    return mix_tensor(5, torch.arange(n))


def test_kl_is_the_divergence_of_two_normal_distributions():
    mu, log_var = random(7, 5), random(7, 5, seed=1)
    q, prior = d.Normal(mu, (log_var / 2).exp()), d.Normal(0.0, 1.0)
    torch.testing.assert_close(kl_divergence(mu, log_var), d.kl_divergence(q, prior).sum(1))


def test_kl_is_least_and_zero_at_the_prior():
    mu, log_var = torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    kl = kl_divergence(mu, log_var)
    assert kl.item() == 0
    assert all(not g.any() for g in torch.autograd.grad(kl.sum(), (mu, log_var)))
    assert (kl_divergence(random(1000, 3), random(1000, 3, seed=1)) > 0).all()


def test_bernoulli_is_torchs_summed_over_pixels():
    logits, x = random(4, 2, 3, 3), (random(4, 2, 3, 3, seed=1) > 0).double()
    expected = d.Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli_log_likelihood(logits, x), expected)


def test_bernoulli_sums_to_one_over_all_images():
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=torch.float64).view(-1, 1, 2, 3)
    logits = 3 * random(1, 1, 2, 3).expand_as(images)
    assert bernoulli_log_likelihood(logits, images).exp().sum().item() == pytest.approx(1)


def test_bernoulli_stays_finite_where_the_decoder_is_certain_and_wrong():
    assert bernoulli_log_likelihood(torch.tensor([[300.0, -200.0]]), torch.tensor([[0.0, 1.0]])).tolist() == [-500.0]


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (1, 2, 1, 1), ()])
def test_gaussian_is_torchs_summed_over_pixels(shape):
    mean, x, log_var = random(4, 2, 3, 3), random(4, 2, 3, 3, seed=1), random(*shape, seed=2)
    expected = d.Normal(mean, (log_var / 2).exp()).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(gaussian_log_likelihood(mean, log_var, x), expected)


def test_gaussian_object_has_its_scale_and_shows_what_can_be_shown():
    output, x = random(3, 1, 2, 2), random(3, 1, 2, 2, seed=1)
    expected = d.Normal(output, 0.2).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(Gaussian(0.2).log_likelihood(output, Gaussian(0.2).target(x)), expected)
    assert Gaussian(0.2).mean(torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0, 0.5, 1]


def test_binarisation_has_the_grey_value_as_its_mean():
    """Within four standard errors; black and white stay what they are."""
    grey = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    images = grey.expand(20_000, 5)
    for x in (Bernoulli().target(images, keys(20_000)), Bernoulli().target(images)):
        assert set(x.unique().tolist()) == {0.0, 1.0}
        assert ((x.mean(0) - grey).abs() <= 4 * (grey * (1 - grey) / 20_000).sqrt()).all()


def test_keyed_binarisation_is_a_function_of_the_key_alone():
    images = torch.full((6, 1, 4, 4), 0.5)
    together = Bernoulli().target(images, keys(6))
    torch.manual_seed(1)
    alone = torch.cat([Bernoulli().target(images[i : i + 1], keys(6)[i : i + 1]) for i in range(6)])
    assert torch.equal(together, alone)
    assert not torch.equal(together[0], together[1])


def test_unkeyed_binarisation_is_new_each_time():
    images = torch.full((6, 1, 4, 4), 0.5)
    assert not torch.equal(Bernoulli().target(images), Bernoulli().target(images))


@pytest.mark.parametrize("scale", [0.0, -0.1])
def test_a_scale_must_be_positive(scale):
    with pytest.raises(UserError, match=r"^scale is .* above 0"):
        Gaussian(scale)
