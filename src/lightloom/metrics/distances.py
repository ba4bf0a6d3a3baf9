"""Distances between the distributions of real and generated images, on any features; computed by torchmetrics."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from lightloom.core.errors import UserError

SUBSETS, SUBSET_SIZE = 100, 1000  # of the kernel distance, as its authors have them


class _AsTheyAre(nn.Module):
    """Identity in place of torchmetrics' network, for features that are extracted already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """|mu - mu'|^2 + tr(S + S' - 2 (S S')^(1/2)) of the Gaussians with the sets' means and (N - 1) covariances.

    real, fake: (N, D) and (M, D), at least two each; computed in float64.
    Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, equation 6: squared, as everyone reports it.
    """
    _check(real, fake)
    metric = FrechetInceptionDistance(_AsTheyAre(real.shape[1]), sync_on_compute=False).to(real.device)
    real, fake = real.double(), fake.double()
    centre = real.mean(0)  # torchmetrics sums x x^T: about the origin it would cancel
    metric.update(real - centre, real=True)
    metric.update(fake - centre, real=False)
    return max(float(metric.compute()), 0.0)


def kernel_distance(real: Tensor, fake: Tensor, seed: int = 0) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3; negative by chance only.

    real, fake: (N, D) and (M, D), at least two each; computed in float64. The mean over 100 subsets of
    min(1000, N, M) features of each set, drawn by `seed`; one where that takes all of both.
    Binkowski et al. 2018, Demystifying MMD GANs, section 4.
    """
    _check(real, fake)
    size = min(SUBSET_SIZE, len(real), len(fake))
    subsets = 1 if len(real) == len(fake) == size else SUBSETS
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save all")
        torch.default_generator.manual_seed(seed)  # torchmetrics draws its subsets from it
        network = _AsTheyAre(real.shape[1])
        metric = KernelInceptionDistance(network, subsets=subsets, subset_size=size, sync_on_compute=False)
        metric.update(real.double(), real=True)
        metric.update(fake.double(), real=False)
        return float(metric.compute()[0])


def _check(real: Tensor, fake: Tensor) -> None:
    if min(len(real), len(fake)) < 2:
        raise UserError(
            f"a distance of distributions needs at least 2 real and 2 generated images, but has {len(real)} and "
            f"{len(fake)}; evaluate more of them."
        )
