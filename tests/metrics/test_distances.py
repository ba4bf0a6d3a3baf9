"""Distances of distributions: closed forms of Gaussians, a double loop, and what any distance has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.metrics.distances import frechet_distance, kernel_distance


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(points: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """The points (N, D) moved and stretched so that they have exactly this mean and (N - 1) covariance."""
    centred = points - points.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(centred.T.cov()), centred.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def covariance(seed: int, size: int) -> Tensor:
    root = noise(seed, size, size)
    return root @ root.T + 0.1 * torch.eye(size, dtype=torch.float64)


def test_frechet_of_gaussians_with_common_axes_in_closed_form():
    """|mu - mu'|^2 + sum (sigma - sigma')^2, whatever the axes."""
    axes = torch.linalg.qr(noise(0, 5, 5)).Q
    mean, scale = noise(1, 2, 5), noise(2, 2, 5).abs() + 0.1
    sets = [with_moments(noise(3 + i, 40 + i, 5), mean[i], axes @ scale[i].square().diag() @ axes.T) for i in (0, 1)]
    expected = (mean[0] - mean[1]).square().sum() + (scale[0] - scale[1]).square().sum()
    assert frechet_distance(*sets) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_of_any_gaussians_against_a_matrix_root():
    mean, a, b = noise(0, 2, 6), covariance(1, 6), covariance(2, 6)
    sets = [with_moments(noise(3, 50, 6), mean[0], a), with_moments(noise(4, 60, 6), mean[1], b)]
    root = np.trace(sqrtm((a @ b).numpy()).real)
    expected = (mean[0] - mean[1]).square().sum() + a.trace() + b.trace() - 2 * root
    assert frechet_distance(*sets) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_is_symmetric_and_zero_for_a_set_and_itself():
    a, b = noise(0, 30, 8), 2 * noise(1, 40, 8) + 1
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a) < 1e-6
    assert frechet_distance(a, a.flip(0)) < 1e-6


def test_frechet_does_not_depend_on_where_the_origin_is():
    """Also far away, where sums of squares lose the covariance; float32 in, as extractors give."""
    a, b = noise(0, 200, 4).float(), (1.5 * noise(1, 200, 4)).float()
    moved = frechet_distance((a.double() + 1e6), (b.double() + 1e6))
    assert moved == pytest.approx(frechet_distance(a, b), rel=1e-6)


def test_a_collapsed_set_has_a_frechet_distance():
    """All fakes the same: |mu - mu'|^2 + tr S."""
    real, fake = noise(0, 50, 3), torch.ones(20, 3)
    expected = (real.mean(0) - 1).square().sum() + real.T.cov().trace()
    assert frechet_distance(real, fake) == pytest.approx(float(expected), rel=1e-6)  # a root of rounding errors


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_one_image_has_no_distribution(distance):
    with pytest.raises(UserError, match="at least 2 real and 2 generated"):
        distance(noise(0, 5, 3), noise(1, 1, 3))


def slow_kernel_distance(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of Binkowski et al. 2018, pair by pair."""

    def kernel(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    n = len(x)
    same = sum(kernel(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return same - 2 * sum(kernel(a, b) for a in x for b in y) / n**2


def test_kernel_against_a_double_loop():
    x, y = noise(0, 12, 5), noise(1, 12, 5) + 0.5
    assert kernel_distance(x, y) == pytest.approx(slow_kernel_distance(x, y), rel=1e-9)


def test_kernel_is_unbiased():
    """Zero on average for two sets of one distribution, though each estimate is not; far from zero for two."""
    same = torch.tensor([kernel_distance(noise(2 * i, 30, 4), noise(2 * i + 1, 30, 4)) for i in range(300)])
    error = same.std() / len(same) ** 0.5
    assert same.mean().abs() < 4 * error
    assert same.std() > 1e-3
    assert kernel_distance(noise(0, 300, 4), noise(1, 300, 4) + 1) > 100 * error


def test_kernel_draws_its_subsets_by_its_seed_alone():
    x, y = noise(0, 40, 3), noise(1, 25, 3)
    before = torch.get_rng_state()
    first = kernel_distance(x, y)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert kernel_distance(x, y) == first
    assert kernel_distance(x, y, seed=1) != first
