"""VGG (Simonyan & Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, table 1)."""

from itertools import pairwise
from typing import Literal, get_args

from torch import nn

from lightloom.core.ranges import Count, Positive, Share
from lightloom.networks.blocks import Block, ConvBlock, Norm, at_most, thinned, two_hidden_layers
from lightloom.networks.choices import one_of

Depth = Literal[11, 13, 16, 19]
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Sequential):
    """Five blocks, each halving the map, rounding up, so that small images pass. (B, C, H, W) -> (B, num_classes).

    width: multiplier of all widths.
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        depth: Depth,
        norm: Norm = "none",
        dropout: Share = 0.5,
        width: Positive = 1.0,
    ) -> None:
        super().__init__()
        one_of("depth", depth, get_args(Depth), "model.network.depth")
        channels = in_channels
        for i, (full, convolutions) in enumerate(zip(WIDTHS, CONVOLUTIONS[depth], strict=True), start=1):
            self.add_module(f"layer{i}", vgg_block(channels, thinned(full, width), convolutions, norm))
            channels = thinned(full, width)
        self.pool, values = at_most(self, 7, in_channels, image_size)
        self.classifier = two_hidden_layers(values, num_classes, dropout, width)


def vgg_block(in_channels: int, width: int, convolutions: int, norm: str) -> Block:
    """3x3 convolutions of one width, then 2x2 max pooling."""
    widths = [in_channels] + [width] * convolutions
    layers = [ConvBlock(a, b, 3, norm=norm) for a, b in pairwise(widths)]
    return Block(*layers, nn.MaxPool2d(2, ceil_mode=True))
