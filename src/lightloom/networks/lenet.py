"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, Gradient-Based Learning Applied to Document Recognition).

In its modern form: ReLU and max pooling, S2 connected to C3 in full, a linear output. 61,706 parameters for ten digits.
"""

from collections import OrderedDict

from torch import nn

from lightloom.core.ranges import Count
from lightloom.networks.blocks import Block, ConvBlock, Norm, feature_shape

FIELD = 32  # the paper's input: a digit of 28 px and a margin


class LeNet(nn.Sequential):
    """Images below 32 px are zero-padded to the paper's 32 x 32 field. (B, C, H, W) -> (B, num_classes)."""

    def __init__(self, in_channels: Count, num_classes: Count, image_size: Count, norm: Norm = "none") -> None:
        margin = max(FIELD - image_size, 0)
        before, after = margin // 2, margin - margin // 2
        features = OrderedDict(
            pad=nn.ZeroPad2d((before, after, before, after)),
            layer1=Block(ConvBlock(in_channels, 6, 5, padding=0, norm=norm), nn.MaxPool2d(2)),
            layer2=Block(ConvBlock(6, 16, 5, padding=0, norm=norm), nn.MaxPool2d(2)),
            flatten=nn.Flatten(),
        )
        super().__init__(features)
        (values,) = feature_shape(self, in_channels, image_size)
        self.classifier = nn.Sequential(
            nn.Linear(values, 120), nn.ReLU(inplace=True),
            nn.Linear(120, 84), nn.ReLU(inplace=True),
            nn.Linear(84, num_classes),
        )  # fmt: skip
