"""Network in Network (Lin, Chen & Yan 2014, arXiv:1312.4400), the network of its CIFAR experiments."""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from lightloom.core.ranges import Count, Positive, Share
from lightloom.networks.blocks import Block, ConvBlock, Norm, max_pool, stem_stride, thinned


class NiN(nn.Sequential):
    """(B, C, H, W) -> (B, num_classes): the last mlpconv makes one map for each class, whose average is the logit.

    The first stride is 1 as in the paper below 56 px, 2 from there and 4 from 112 px up. Logits are not rectified.
    width: multiplier of all widths.
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        norm: Norm = "none",
        dropout: Share = 0.5,
        width: Positive = 1.0,
    ) -> None:
        w1, w2, w3 = (thinned(channels, width) for channels in (96, 160, 192))
        stride = stem_stride(image_size, paper=4)
        layers = OrderedDict(
            layer1=mlpconv((in_channels, w3, w2, w1), 5, norm, stride),
            pool1=max_pool(),
            dropout1=nn.Dropout(dropout),
            layer2=mlpconv((w1, w3, w3, w3), 5, norm),
            pool2=nn.AvgPool2d(3, stride=2, ceil_mode=True),
            dropout2=nn.Dropout(dropout),
            layer3=mlpconv((w3, w3, w3), 3, norm),
            classifier=ConvBlock(w3, num_classes, 1, activation=False),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
        )
        super().__init__(layers)


def mlpconv(widths: tuple[int, ...], kernel_size: int, norm: str, stride: int = 1) -> Block:
    """A convolution followed by 1x1 convolutions: a small perceptron slid over the map (section 3.1)."""
    first = ConvBlock(widths[0], widths[1], kernel_size, stride, norm=norm)
    rest = [ConvBlock(a, b, 1, norm=norm) for a, b in pairwise(widths[1:])]
    return Block(first, *rest)
