"""Our networks compute what torchvision's compute, given its weights; plain networks and heads do what papers say."""

from functools import partial

import pytest
import torch
import torchvision.models as tv
from torch import nn

from lightloom.networks.blocks import ConvBlock, feature_shape, stem_stride
from lightloom.networks.googlenet import GoogLeNet
from lightloom.networks.mlp import MLP
from lightloom.networks.resnet import PadShortcut, ResNet
from lightloom.networks.vgg import VGG
from lightloom.networks.zfnet import ZFNet


@pytest.mark.parametrize(
    ("ours", "theirs", "image_size"),
    [
        (lambda: ResNet(3, 1000, 224, depth=18), lambda: tv.resnet18(), 96),
        (lambda: ResNet(3, 1000, 224, depth=50), lambda: tv.resnet50(), 64),
        (lambda: VGG(3, 1000, 224, depth=11), lambda: tv.vgg11(init_weights=False), 224),
    ],
    ids=["resnet18", "resnet50", "vgg11"],
)
def test_logits_equal_torchvisions(ours, theirs, image_size):
    theirs = theirs().eval()
    with torch.device("meta"):
        ours = ours().eval()
    weights = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(weights), assign=True)
    x = torch.randn(1, 3, image_size, image_size)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_option_a_subsamples_and_pads_with_zeros():
    x = torch.randn(2, 16, 8, 8)
    y = PadShortcut(stride=2, new_channels=16)(x)
    assert torch.equal(y[:, :16], x[:, :, ::2, ::2])
    assert y.shape == (2, 32, 4, 4)
    assert not y[:, 16:].any()


def test_residual_branch_of_zero_makes_a_resnet_forget_its_depth():
    """With F = 0 every block is ReLU(x): all depths agree, but the plain network sees nothing of its input."""
    logits = {}
    for depth, shortcut in [(20, True), (44, True), (20, False)]:
        torch.manual_seed(0)
        network = ResNet(1, 10, 16, depth, shortcut=shortcut).eval()
        nn.init.ones_(network.classifier.weight), nn.init.zeros_(network.classifier.bias)
        for name, parameter in network.named_parameters():
            if "residual.1.norm" in name:
                nn.init.zeros_(parameter)
        logits[depth, shortcut] = network(torch.linspace(-1, 1, 256).view(1, 1, 16, 16))
    torch.testing.assert_close(logits[20, True], logits[44, True])
    assert logits[20, True].all()
    assert not logits[20, False].any()


@pytest.mark.parametrize("network", [partial(ResNet, depth=20), MLP], ids=["maps", "values"])
def test_group_norm_is_the_same_for_every_batch_and_batch_norm_is_not(network):
    x = torch.randn(4, 1, 16, 16)
    group, batch = (network(1, 10, 16, norm=norm).train() for norm in ("group", "batch"))
    torch.testing.assert_close(group(x)[:1], group(x[:1]))
    assert not torch.allclose(batch(x)[:2], batch(x[:2]), atol=0.01)


@pytest.mark.parametrize("image_size", [28, 64, 224])
def test_googlenet_trains_with_two_more_heads(image_size):
    with torch.device("meta"):
        network = GoogLeNet(3, 7, image_size)
        x = torch.randn(2, 3, image_size, image_size)
    assert [logits.shape for logits in network.train()(x)] == [(2, 7)] * 3
    assert network.eval()(x).shape == (2, 7)


def test_googlenet_has_no_heads_on_tiny_maps():
    network = GoogLeNet(1, 7, image_size=8).train()
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 7)


@pytest.mark.parametrize(("layers", "shape"), [(1, (96, 55, 55)), (2, (256, 13, 13)), (5, (256, 6, 6))])
def test_zfnet_maps_as_figure_3(layers, shape):
    with torch.device("meta"):
        network = ZFNet(3, 1000, 224)
    assert feature_shape(nn.Sequential(*list(network)[:layers]), 3, 224) == shape


def test_googlenet_maps_as_table_1():
    with torch.device("meta"):
        network = GoogLeNet(3, 1000, 224)
    assert feature_shape(network.lower.stem, 3, 224) == (192, 28, 28)
    assert feature_shape(network.lower, 3, 224) == (512, 14, 14)
    assert feature_shape(nn.Sequential(network.lower, network.middle, network.upper), 3, 224) == (1024, 7, 7)


@pytest.mark.parametrize("paper", [4, 8])
def test_stems_keep_28_pixels_and_the_papers_stride_at_224(paper):
    assert stem_stride(224, paper) == paper
    for image_size in range(28, 300):
        stride = stem_stride(image_size, paper)
        assert image_size // stride >= 28
        assert stride == paper or image_size // (2 * stride) < 28


def test_image_too_small_is_said():
    with pytest.raises(ValueError, match="image_size 4 is too small"):
        feature_shape(ConvBlock(1, 1, 7, padding=0), 1, 4)


def test_choices_are_named():
    with pytest.raises(ValueError, match=r"depth 12 is not one of 11, 13, 16, 19; set model\.network\.depth"):
        VGG(3, 10, 32, depth=12)
    with pytest.raises(ValueError, match="norm layer is not one of none, batch, group"):
        VGG(3, 10, 32, depth=11, norm="layer")
