"""Blocks that our CNNs share: convolution, normalisation by name, and stems that fit the image."""

import copy
import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lightloom.networks.choices import one_of

Norm = Literal["none", "batch", "group"]


class Block(nn.Sequential):
    """A unit of a network (a VGG block, a residual branch, ...): what attention `at: block` is added to the end of."""


class ConvBlock(nn.Sequential):
    """Convolution, then normalisation and ReLU where asked: (B, in_channels, H, W) -> (B, out_channels, H', W').

    padding: by default half the kernel, so that stride 1 keeps the size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | None = None,
        norm: str = "none",
        activation: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel_size // 2 if padding is None else padding
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=norm == "none")
        if norm != "none":
            self.norm = normalization(norm, out_channels)
        if activation:
            self.act = nn.ReLU(inplace=True)


class Concat(nn.ModuleList):
    """Concatenate the outputs of parallel branches along channels: (B, C, H, W) -> (B, out_channels, H, W)."""

    def __init__(self, branches: Iterable[nn.Module], out_channels: int) -> None:
        super().__init__(branches)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


def normalization(norm: str, channels: int, dimensions: Literal[1, 2] = 2) -> nn.Module:
    """batch: Ioffe & Szegedy 2015. group: Wu & He 2018, 16 channels to a group, or fewer where 16 does not divide.

    dimensions: 2 for maps (B, C, H, W), 1 for values (B, C).
    """
    one_of("norm", norm, get_args(Norm), "model.network.norm")
    if norm == "batch":
        return nn.BatchNorm2d(channels) if dimensions == 2 else nn.BatchNorm1d(channels)
    return nn.GroupNorm(channels // math.gcd(16, channels), channels)


def stem_stride(image_size: int, paper: int, at_least: int = 28) -> int:
    """The paper's stride where it leaves the image `at_least` pixels, as at 224 px; else halved until it does."""
    while paper > 1 and image_size // paper < at_least:
        paper //= 2
    return paper


def max_pool() -> nn.MaxPool2d:
    """Overlapping pooling (Krizhevsky et al. 2012, section 3.4): (B, C, H, W) -> (B, C, H // 2, W // 2)."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def at_most(features: nn.Module, side: int, in_channels: int, image_size: int) -> tuple[nn.Module, int]:
    """A pooling that caps the map `features` makes at side x side, and the number of values it leaves."""
    channels, height, _ = feature_shape(features, in_channels, image_size)
    pool = nn.AdaptiveAvgPool2d(side) if height > side else nn.Identity()
    return pool, channels * min(height, side) ** 2


def thinned(channels: int, width: float) -> int:
    """`channels` times the multiplier `width`, rounded, at least 1 (Howard et al. 2017, section 3.3)."""
    return max(1, round(channels * width))


def two_hidden_layers(values: int, num_classes: int, dropout: float, width: float = 1.0) -> nn.Sequential:
    """The classifier of AlexNet, ZFNet and VGG: dropout on both hidden layers (Krizhevsky et al. 2012, section 4.2).

    width: multiplier of the hidden layers' 4096.
    """
    hidden = thinned(4096, width)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(values, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
        nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
        nn.Linear(hidden, num_classes),
    )  # fmt: skip


def feature_shape(features: nn.Module, in_channels: int, image_size: int, width: int | None = None) -> tuple[int, ...]:
    """(C, H, W) that `features` makes of one image, found on the meta device: nothing is computed.

    width: of an image that is no square, whose height is `image_size`.
    """
    images = torch.empty(2, in_channels, image_size, width or image_size, device="meta")
    try:
        return tuple(copy.deepcopy(features).to("meta")(images).shape[1:])
    except RuntimeError as error:
        raise ValueError(
            f"image_size {image_size} is too small for this network; use larger images or another model"
        ) from error
