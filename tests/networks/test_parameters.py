"""Parameter counts agree with torchvision, the papers, or a closed form. On the meta device this takes no memory."""

from functools import partial
from itertools import pairwise

import pytest
import torch
import torchvision.models as tv

from lightloom.networks.alexnet import AlexNet
from lightloom.networks.googlenet import GoogLeNet
from lightloom.networks.lenet import LeNet
from lightloom.networks.mlp import MLP
from lightloom.networks.nin import NiN
from lightloom.networks.resnet import CIFAR, IMAGENET, ResNet
from lightloom.networks.vgg import CONVOLUTIONS, VGG
from lightloom.networks.zfnet import ZFNet


@pytest.fixture(autouse=True)
def meta():
    with torch.device("meta"):
        yield


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def conv(a, b, kernel):
    return (a * kernel**2 + 1) * b


def linear(*widths):
    return sum((a + 1) * b for a, b in pairwise(widths))


@pytest.mark.parametrize("image_size", [8, 28, 32])
def test_lenet_has_the_61706_parameters_of_the_textbooks(image_size):
    assert count(LeNet(1, 10, image_size)) == 61_706


def test_mlp_is_784_64_128_64_10():
    assert count(MLP(1, 10, 28)) == linear(784, 64, 128, 64, 10)


def test_alexnet_as_torchvision():
    assert count(AlexNet(3, 1000, 224)) == count(tv.alexnet())


@pytest.mark.parametrize("depth", CONVOLUTIONS)
def test_vgg_as_torchvision(depth):
    assert count(VGG(3, 1000, 224, depth)) == count(tv.get_model(f"vgg{depth}", init_weights=False))


@pytest.mark.parametrize("depth", IMAGENET)
def test_imagenet_resnet_as_torchvision(depth):
    assert count(ResNet(3, 1000, 224, depth)) == count(tv.get_model(f"resnet{depth}"))


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7), (1202, 19.4)]
)
def test_cifar_resnet_as_table_6(depth, millions):
    assert count(ResNet(3, 10, 32, depth)) / 1e6 == pytest.approx(millions, rel=0.02)


def test_a_resnet_as_wide_as_its_width_says():
    normed = [(3, 8, 3), *4 * [(8, 8, 3)]]
    for c in (8, 16, 32):
        normed += [(c, 2 * c, 3), *3 * [(2 * c, 2 * c, 3)], (c, 2 * c, 1)]
    parameters = sum(conv(*layer) + layer[1] for layer in normed)  # a scale and a shift instead of the bias
    assert count(ResNet(3, 10, 32, 18, width=1 / 8)) == parameters + linear(64, 10)


@pytest.mark.parametrize("depth", set(CIFAR) - {1202})
def test_option_a_shortcuts_are_free(depth):
    assert count(ResNet(3, 10, 32, depth)) == count(ResNet(3, 10, 32, depth, shortcut=False))


def test_zfnet_as_figure_3():
    convolutions = conv(3, 96, 7) + conv(96, 256, 5) + conv(256, 384, 3) + conv(384, 384, 3) + conv(384, 256, 3)
    assert count(ZFNet(3, 1000, 224)) == convolutions + linear(6 * 6 * 256, 4096, 4096, 1000)


def test_nin_closed_form():
    blocks = [(3, 192, 5), (192, 160, 1), (160, 96, 1), (96, 192, 5), (192, 192, 1), (192, 192, 1), (192, 192, 3)]
    assert count(NiN(3, 10, 32)) == sum(conv(*layer) for layer in blocks) + conv(192, 192, 1) + conv(192, 10, 1)


def test_googlenet_is_torchvisions_with_the_papers_5x5_convolutions():
    """torchvision has 3x3 in their place (its issue 906)."""
    fives = [(16, 32), (32, 96), (16, 48), (24, 64), (24, 64), (32, 64), (32, 128), (32, 128), (48, 128)]
    extra = sum((5**2 - 3**2) * a * b for a, b in fives)
    theirs = count(tv.googlenet(init_weights=False, aux_logits=True))
    assert count(GoogLeNet(3, 1000, 224, norm="batch")) == theirs + extra


def test_googlenet_without_auxiliary_heads_has_7_million_parameters():
    """Table 1's column of parameters sums to 6.8 M without biases, and 1 M of them are the classifier's."""
    assert count(GoogLeNet(3, 1000, 224, auxiliary=False)) / 1e6 == pytest.approx(7.0, abs=0.1)


@pytest.mark.parametrize("network", [AlexNet, ZFNet, NiN, partial(VGG, depth=16), GoogLeNet])
def test_half_the_width_halves_what_each_layer_makes_but_the_last(network):
    """All widths of the papers are even, seven classes are not."""
    full, half = (dict(network(3, 7, 64, norm="batch", width=w).named_parameters()) for w in (1.0, 0.5))
    made = {name: values.shape[0] if values.shape[0] == 7 else values.shape[0] // 2 for name, values in full.items()}
    assert {name: values.shape[0] for name, values in half.items()} == made
