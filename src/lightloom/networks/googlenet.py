"""GoogLeNet (Szegedy et al. 2015, Going Deeper with Convolutions, table 1): Inception v1 with two auxiliary heads.

Without its local response normalisation, as in our AlexNet.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from lightloom.core.ranges import Count, Positive, Share
from lightloom.networks.blocks import Block, Concat, ConvBlock, Norm, feature_shape, max_pool, stem_stride, thinned

INCEPTIONS = {  # the 1x1's width; of the 3x3 and the 5x5 the reducing 1x1's and their own; that after pooling
    "inception3a": (64, (96, 128), (16, 32), 32),
    "inception3b": (128, (128, 192), (32, 96), 64),
    "inception4a": (192, (96, 208), (16, 48), 64),
    "inception4b": (160, (112, 224), (24, 64), 64),
    "inception4c": (128, (128, 256), (24, 64), 64),
    "inception4d": (112, (144, 288), (32, 64), 64),
    "inception4e": (256, (160, 320), (32, 128), 128),
    "inception5a": (256, (160, 320), (32, 128), 128),
    "inception5b": (384, (192, 384), (48, 128), 128),
}
LOWER = ("inception3a", "inception3b", "pool3", "inception4a")
MIDDLE = ("inception4b", "inception4c", "inception4d")
UPPER = ("inception4e", "pool4", "inception5a", "inception5b")


class GoogLeNet(nn.Module):
    """(B, C, H, W) -> logits (B, num_classes); in training (logits, aux1, aux2) where there are auxiliary heads.

    The stem's three halvings (conv1, pool1, pool2) are left out, first to last, until Inception 3a sees a map of
    14 x 14 or more (28 x 28 in the paper). Without a map of 5 x 5 for them
    (14 x 14 in the paper) there are no auxiliary heads. width: multiplier of all widths.
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        norm: Norm = "none",
        dropout: Share = 0.4,
        auxiliary: bool = True,
        width: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.lower, self.middle, self.upper = nn.Sequential(), nn.Sequential(), nn.Sequential()
        self.lower.add_module("stem", stem(in_channels, stem_stride(image_size, paper=8, at_least=14), width, norm))
        x_4a = add_blocks(self.lower, LOWER, thinned(192, width), width, norm)
        x_4d = add_blocks(self.middle, MIDDLE, x_4a, width, norm)
        channels = add_blocks(self.upper, UPPER, x_4d, width, norm)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes)
        )
        side = feature_shape(self.lower, in_channels, image_size)[-1]
        self.auxiliary = auxiliary and side >= 5
        if self.auxiliary:
            self.aux1 = auxiliary_head(x_4a, side, num_classes, width, norm)
            self.aux2 = auxiliary_head(x_4d, side, num_classes, width, norm)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        x_4a = self.lower(x)
        x_4d = self.middle(x_4a)
        logits: Tensor = self.classifier(self.upper(x_4d))
        if self.training and self.auxiliary:
            return logits, self.aux1(x_4a), self.aux2(x_4d)
        return logits


def stem(in_channels: int, stride: int, width: float, norm: str) -> nn.Sequential:
    """conv1, pool1, conv2 and pool2: the paper's at stride 8; with a halving left out, 3x3 for 7x7 and no pooling."""
    narrow, wide = thinned(64, width), thinned(192, width)
    conv1 = ConvBlock(in_channels, narrow, *((7, 2) if stride == 8 else (3, 1)), norm=norm)
    pool1 = max_pool() if stride >= 4 else nn.Identity()
    pool2 = max_pool() if stride >= 2 else nn.Identity()
    conv2 = (ConvBlock(narrow, narrow, 1, norm=norm), ConvBlock(narrow, wide, 3, norm=norm))
    return nn.Sequential(conv1, pool1, *conv2, pool2)


def add_blocks(layers: nn.Sequential, names: Sequence[str], channels: int, width: float, norm: str) -> int:
    """Append these blocks of table 1, which begin with `channels` maps; returns how many they end with."""
    for name in names:
        if name not in INCEPTIONS:
            layers.add_module(name, max_pool())
            continue
        one, three, five, pooled = INCEPTIONS[name]
        three, five = ((thinned(a, width), thinned(b, width)) for a, b in (three, five))
        one, pooled = thinned(one, width), thinned(pooled, width)
        layers.add_module(name, inception(channels, one, three, five, pooled, norm))
        channels = one + three[1] + five[1] + pooled
    return channels


def inception(
    in_channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int, norm: str
) -> Block:
    """1x1, 3x3 and 5x5 convolutions and pooling side by side (figure 2b).

    three, five: the width of the reducing 1x1 convolution and of the convolution itself.
    """
    branches = [
        ConvBlock(in_channels, one, 1, norm=norm),
        nn.Sequential(ConvBlock(in_channels, three[0], 1, norm=norm), ConvBlock(*three, 3, norm=norm)),
        nn.Sequential(ConvBlock(in_channels, five[0], 1, norm=norm), ConvBlock(*five, 5, norm=norm)),
        nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvBlock(in_channels, pooled, 1, norm=norm)),
    ]
    return Block(Concat(branches, out_channels=one + three[1] + five[1] + pooled))


def auxiliary_head(in_channels: int, side: int, num_classes: int, width: float, norm: str) -> nn.Sequential:
    """Section 5: (B, in_channels, side, side) -> (B, num_classes)."""
    reduce = ConvBlock(in_channels, thinned(128, width), 1, norm=norm)
    features = nn.Sequential(nn.AvgPool2d(5, stride=3), reduce, nn.Flatten())
    (values,) = feature_shape(features, in_channels, side)
    hidden = thinned(1024, width)
    return nn.Sequential(
        features,
        nn.Linear(values, hidden), nn.ReLU(inplace=True), nn.Dropout(0.7),
        nn.Linear(hidden, num_classes),
    )  # fmt: skip
