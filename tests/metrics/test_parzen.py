"""Parzen windows against scipy, and the density that they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde, multivariate_normal
from torch import Tensor

from lightloom.metrics import pairwise
from lightloom.metrics.parzen import (
    BANDWIDTHS,
    choose_bandwidth,
    log_likelihood,
    log_likelihoods,
    mean_and_standard_error,
)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_dimension_against_scipys_kernel_density():
    points, samples = noise(0, 20, 1), 2 * noise(1, 50, 1)
    for bandwidth in (0.1, 1.0):
        density = gaussian_kde(samples[:, 0].numpy(), bandwidth / float(samples.std()))  # in units of the data's std
        found = log_likelihood(points, samples, bandwidth)
        np.testing.assert_allclose(found.numpy(), density.logpdf(points[:, 0].numpy()), rtol=1e-9)


@pytest.mark.parametrize("most", [1, 100, 2**20])
def test_any_dimension_against_a_mixture_of_scipys_normals(monkeypatch, most):
    monkeypatch.setattr(pairwise, "MOST_VALUES", most)
    points, samples = noise(0, 15, 4), noise(1, 30, 4)
    bandwidths = [0.3, 1.0, 2.0]
    expected = [
        np.log(np.mean([multivariate_normal(s, h**2).pdf(points.numpy()) for s in samples.numpy()], axis=0))
        for h in bandwidths
    ]
    np.testing.assert_allclose(log_likelihoods(points, samples, bandwidths).numpy(), np.stack(expected), rtol=1e-9)
    assert torch.equal(log_likelihood(points, samples, 1.0), log_likelihoods(points, samples, bandwidths)[1])


def test_it_is_a_density():
    axis = torch.linspace(-15, 15, 3001, dtype=torch.float64)
    density = log_likelihood(axis[:, None], 3 * noise(0, 40, 1), 0.5).exp()
    assert float(torch.trapezoid(density, axis)) == pytest.approx(1, abs=1e-9)


def test_far_points_do_not_underflow():
    """A thousand dimensions: the density is below the smallest float, its logarithm in closed form is not."""
    point, sample = torch.ones(1, 1000), torch.zeros(1, 1000)
    expected = -1000 / 2 * (math.log(2 * math.pi * 0.01) + 1 / 0.01)
    assert float(log_likelihood(point, sample, 0.1)) == pytest.approx(expected, rel=1e-9)


def test_the_likeliest_bandwidth_around_one_sample_is_the_root_mean_square_distance():
    validation = 0.2 * noise(0, 500, 10)
    best = float(validation.square().mean().sqrt())
    chosen = choose_bandwidth(validation, torch.zeros(1, 10))
    assert chosen == min(BANDWIDTHS, key=lambda h: abs(math.log(h / best)))


def test_standard_error_is_the_spread_of_the_mean():
    """Of many means of 50 values, each with its own estimate of the error."""
    found = [mean_and_standard_error(3 * noise(i, 50)) for i in range(2000)]
    means, errors = torch.tensor(found).T
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(means.std()), rel=0.05)
