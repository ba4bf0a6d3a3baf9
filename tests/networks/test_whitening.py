"""The whitening layer's outputs have the identity as their covariance, whatever the images."""

import pytest
import torch
from torch.nn.functional import unfold

from lightloom.networks.airbench import AirBench
from lightloom.networks.whitening import Whitening, patch_covariance

SHAPES = [(1, 2), (1, 3), (3, 2)]  # channels, patch
shapes = pytest.mark.parametrize(("channels", "patch"), SHAPES)


def correlated_images(channels: int) -> torch.Tensor:
    """Neighbouring pixels and channels are alike, and no mean is zero, as in photographs."""
    noise = torch.randn(64, channels, 14, 14, generator=torch.Generator().manual_seed(0))
    smooth = noise.cumsum(2).cumsum(3) / 10
    return 0.4 + smooth + 0.5 * smooth.roll(1, dims=1) * torch.arange(1, channels + 1).view(-1, 1, 1)


def covariance(values: torch.Tensor) -> torch.Tensor:
    """Of the channels of (B, C, H, W), over images and positions."""
    return torch.cov(values.double().transpose(0, 1).flatten(1), correction=0)


@shapes
def test_outputs_are_uncorrelated_with_variance_one(channels, patch):
    images, layer = correlated_images(channels), Whitening(channels, patch)
    assert (covariance(images) - torch.eye(channels)).abs().max() > 0.5
    layer.fit(images.split(10), eps=0)
    whitened, negative = layer(images).chunk(2, dim=1)
    assert torch.allclose(covariance(whitened), torch.eye(channels * patch**2, dtype=torch.float64), atol=1e-3)
    assert torch.equal(negative, -whitened)


@shapes
def test_eps_bounds_what_hardly_varies(channels, patch):
    """A direction of variance v comes out with v / (v + eps), still uncorrelated with the others."""
    images, layer, eps = correlated_images(channels), Whitening(channels, patch), 0.3
    layer.fit([images], eps)
    variances = torch.linalg.eigvalsh(patch_covariance([images], patch))
    whitened = layer(images).chunk(2, dim=1)[0]
    assert torch.allclose(covariance(whitened), (variances / (variances + eps)).diag(), atol=1e-4)


def test_covariance_of_batches_is_that_of_all_patches():
    images = correlated_images(3)
    patches = unfold(images.double(), 2).transpose(0, 1).flatten(1)
    assert torch.allclose(patch_covariance(images.split(7), 2), torch.cov(patches, correction=0))


def test_stride_leaves_out_positions():
    images = correlated_images(1)
    dense, strided = Whitening(1, 2), Whitening(1, 2, stride=2)
    for layer in (dense, strided):
        layer.fit([images])
    assert torch.allclose(strided(images), dense(images)[..., ::2, ::2], atol=1e-6)


def test_filters_are_kept_and_not_trained():
    layer, other = Whitening(1, 2), Whitening(1, 2)
    layer.fit([correlated_images(1)])
    other.load_state_dict(layer.state_dict())
    assert other.fitted
    assert torch.equal(other.weight, layer.weight)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


def test_a_block_begins_as_the_identity():
    """The first outputs of a convolution are its inputs."""
    block = AirBench(3, 10, 32, widths=[40])[2]
    x = torch.randn(2, 24, 8, 8)
    assert torch.allclose(block[0](x)[:, :24], x, atol=1e-6)


def test_airbench94_has_its_published_size():
    """1.97 million (Jordan 2024, section 3.7), the filters counted in."""
    network = AirBench(3, 10, 32)
    assert sum(p.numel() for p in network.parameters()) + network[0].weight.numel() == pytest.approx(1.97e6, rel=0.005)
