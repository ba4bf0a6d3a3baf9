"""The network of airbench (Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv:2404.00498, section 3).

Made to be trained in a few epochs: whitened patches first, convolutions that begin as the identity, batch normalisation
without a learned scale, and a linear layer without bias whose logits are scaled down.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lightloom.core.ranges import Count
from lightloom.networks.blocks import Block, feature_shape
from lightloom.networks.choices import one_of
from lightloom.networks.whitening import Whitening

Activation = Literal["gelu", "relu", "silu"]
ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
LOGIT_SCALE = 1 / 9
BATCH_NORM_MOMENTUM = 0.4  # of the new batch: the running mean must follow a run of a few hundred steps


class AirBench(nn.Sequential):
    """Whitening, then blocks of two convolutions, pooling in each. (B, C, H, W) -> (B, num_classes).

    patch, stride: of the whitening convolution; widths: channels of each block. At the defaults and 32 px: airbench94.
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        patch: Count = 2,
        stride: Count = 1,
        widths: Sequence[Count] = (64, 256, 256),
        activation: Activation = "gelu",
    ) -> None:
        one_of("activation", activation, get_args(Activation), "model.network.activation")
        act = ACTIVATIONS[activation]
        whitening = Whitening(in_channels, patch, stride)
        blocks, width = [], whitening.out_channels
        for out in widths:
            blocks.append(Block(conv(width, out), nn.MaxPool2d(2), Norm(out), act(), conv(out, out), Norm(out), act()))
            width = out
        super().__init__(whitening, act(), *blocks)
        feature_shape(self, in_channels, image_size)
        self.append(nn.AdaptiveMaxPool2d(1)).append(nn.Flatten())
        self.append(nn.Linear(width, num_classes, bias=False)).append(Scale(LOGIT_SCALE))


class Norm(nn.BatchNorm2d):
    """Batch normalisation that learns a shift but no scale."""

    weight: Tensor  # type: ignore[assignment]

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=BATCH_NORM_MOMENTUM, affine=False)
        del self.weight, self.bias
        self.register_buffer("weight", torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))


class Scale(nn.Module):
    """Multiply by a constant: (B, ...) -> (B, ...)."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3 x 3 convolution whose first outputs are, but for noise in the others, its inputs (section 3.3)."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:in_channels])
    return layer
