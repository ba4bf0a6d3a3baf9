"""Attention adds the closed-form number of parameters in the place asked for."""

import math

import pytest
import torch

from lightloom.networks.attention import add_attention
from lightloom.networks.googlenet import GoogLeNet
from lightloom.networks.lenet import LeNet
from lightloom.networks.mlp import MLP
from lightloom.networks.nin import NiN
from lightloom.networks.resnet import ResNet
from lightloom.networks.vgg import VGG

BATCH_NORM, KERNEL = 2, 2 * 7**2  # of CBAM's spatial attention: 7x7 over the mean and the maximum of channels


def squeeze(channels):
    return max(1, int(channels / 16 + 0.5))


ADDED = {
    "se": lambda c: 2 * c * squeeze(c) + squeeze(c) + c,
    "cbam": lambda c: 2 * c * squeeze(c) + KERNEL + BATCH_NORM,
    "eca": lambda c: max(3, int((math.log2(c) + 1) / 2) // 2 * 2 + 1),
}
RESNET18 = [64] * 2 + [128] * 2 + [256] * 2 + [512] * 2
INCEPTIONS = [256, 480, 512, 512, 512, 528, 832, 832, 1024]
NETWORKS = {
    "resnet18": (lambda: ResNet(3, 10, 32, 18), RESNET18, [64] + [c for c in RESNET18 for _ in range(2)]),
    "resnet50": (
        lambda: ResNet(3, 10, 32, 50),
        [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3,
        [64] + [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3,
    ),
    "vgg11": (lambda: VGG(3, 10, 32, 11), [64, 128, 256, 512, 512], [64, 128, 256, 256, 512, 512, 512, 512]),
    "lenet": (lambda: LeNet(3, 10, 32), [6, 16], [6, 16]),
    "nin": (lambda: NiN(3, 10, 32), [96, 192, 192], [192, 192, 192]),
    "googlenet": (
        lambda: GoogLeNet(3, 10, 32),
        INCEPTIONS,
        [64, 192, 128, 32, 192, 96, 208, 48, 224, 64, 256, 64, 288, 64, 320, 128, 320, 128, 384, 128],
    ),
}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("kind", ADDED)
@pytest.mark.parametrize("at", ["block", "conv"])
@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_added(name, at, kind):
    make, blocks, convs = NETWORKS[name]
    with torch.device("meta"):
        plain = count(make())
        network = add_attention(make(), kind, at)
        assert network.eval()(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert count(network) - plain == sum(map(ADDED[kind], {"block": blocks, "conv": convs}[at]))


def test_names_choose_submodules():
    with torch.device("meta"):
        network = add_attention(ResNet(3, 10, 32, 50), "se", ["layer1", "layer3.2.residual"])
        assert count(network) - count(ResNet(3, 10, 32, 50)) == ADDED["se"](256) + ADDED["se"](1024)


def test_stages_choose_among_the_blocks():
    with torch.device("meta"):
        plain = count(ResNet(3, 10, 32, 20))
        network = add_attention(ResNet(3, 10, 32, 20), "cbam", "block", stages=[1, 3])
        every = add_attention(ResNet(3, 10, 32, 20), "cbam", "block", stages=[1, 2, 3])
    assert count(network) - plain == 3 * (ADDED["cbam"](16) + ADDED["cbam"](64))
    assert count(every) - plain == 3 * sum(map(ADDED["cbam"], (16, 32, 64)))
    assert {name.partition(".")[0] for name, _ in network.named_modules() if "attention" in name} == {
        "layer1",
        "layer3",
    }


def test_kinds_differ_and_none_is_the_identity():
    x = torch.randn(2, 1, 28, 28)
    outputs = {}
    for kind in ("none", "se", "cbam", "eca"):
        torch.manual_seed(0)
        network = LeNet(1, 10, 28)
        before = network(x)
        outputs[kind] = add_attention(network, kind, "block")(x)
        assert torch.equal(outputs[kind], before) == (kind == "none")
    assert len({tuple(logits.flatten().tolist()) for logits in outputs.values()}) == 4


def test_attention_is_inside_the_residual_branch():
    """A gate of zero leaves ReLU(shortcut), as in SENet; after the addition it would leave nothing."""
    network = add_attention(ResNet(1, 10, 16, 20), "se", "block").eval()
    block = network.layer1[0]
    torch.nn.init.constant_(block.residual.attention.fc2.bias, -1e4)
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(x), x.relu())


@pytest.mark.parametrize(
    ("network", "kind", "at", "message"),
    [
        (LeNet(1, 10, 28), "se", ["layer3"], r"attention_at layer3 .* layer1, layer2; set model\.attention_at"),
        (LeNet(1, 10, 28), "sea", "block", r"attention sea is not one of none, se, cbam, eca; set model\.attention"),
        (MLP(1, 10, 28), "se", "block", r"MLP has none; set model\.attention=none"),
    ],
    ids=["unknown name", "unknown kind", "no blocks"],
)
def test_errors_name_the_remedy(network, kind, at, message):
    with pytest.raises(ValueError, match=message):
        add_attention(network, kind, at)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: ResNet(1, 10, 28, 20), r"attention_stages 4 is not one of 1, 2, 3; set model\.attention_stages"),
        (lambda: GoogLeNet(3, 10, 32), r"GoogLeNet has no numbered stages; set model\.attention_stages=null"),
    ],
)
def test_a_stage_that_is_not_there(network, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        add_attention(network(), "se", "block", stages=[4])
