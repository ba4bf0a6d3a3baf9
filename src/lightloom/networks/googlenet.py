"""GoogLeNet (Szegedy et al. 2015, Going Deeper with Convolutions, table 1): Inception v1 with two auxiliary heads.

Without its local response normalisation, as in our AlexNet.
"""

from collections import OrderedDict

from torch import Tensor, nn

from lightloom.core.ranges import Count, Share
from lightloom.networks.blocks import Block, Concat, ConvBlock, Norm, feature_shape, max_pool, stem_stride


class GoogLeNet(nn.Module):
    """(B, C, H, W) -> logits (B, num_classes); in training (logits, aux1, aux2) where there are auxiliary heads.

    The stem's three halvings (conv1, pool1, pool2) are left out, first to last, until Inception 3a sees a map of
    14 x 14 or more (28 x 28 in the paper). Without a map of 5 x 5 for them
    (14 x 14 in the paper) there are no auxiliary heads.
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        norm: Norm = "none",
        dropout: Share = 0.4,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.lower = nn.Sequential(
            OrderedDict(
                stem=stem(in_channels, stem_stride(image_size, paper=8, at_least=14), norm),
                inception3a=inception(192, 64, (96, 128), (16, 32), 32, norm),
                inception3b=inception(256, 128, (128, 192), (32, 96), 64, norm),
                pool3=max_pool(),
                inception4a=inception(480, 192, (96, 208), (16, 48), 64, norm),
            )
        )
        self.middle = nn.Sequential(
            OrderedDict(
                inception4b=inception(512, 160, (112, 224), (24, 64), 64, norm),
                inception4c=inception(512, 128, (128, 256), (24, 64), 64, norm),
                inception4d=inception(512, 112, (144, 288), (32, 64), 64, norm),
            )
        )
        self.upper = nn.Sequential(
            OrderedDict(
                inception4e=inception(528, 256, (160, 320), (32, 128), 128, norm),
                pool4=max_pool(),
                inception5a=inception(832, 256, (160, 320), (32, 128), 128, norm),
                inception5b=inception(832, 384, (192, 384), (48, 128), 128, norm),
            )
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(1024, num_classes)
        )
        side = feature_shape(self.lower, in_channels, image_size)[-1]
        self.auxiliary = auxiliary and side >= 5
        if self.auxiliary:
            self.aux1 = auxiliary_head(512, side, num_classes, norm)
            self.aux2 = auxiliary_head(528, side, num_classes, norm)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        x_4a = self.lower(x)
        x_4d = self.middle(x_4a)
        logits: Tensor = self.classifier(self.upper(x_4d))
        if self.training and self.auxiliary:
            return logits, self.aux1(x_4a), self.aux2(x_4d)
        return logits


def stem(in_channels: int, stride: int, norm: str) -> nn.Sequential:
    """conv1, pool1, conv2 and pool2: the paper's at stride 8; with a halving left out, 3x3 for 7x7 and no pooling."""
    conv1 = ConvBlock(in_channels, 64, *((7, 2) if stride == 8 else (3, 1)), norm=norm)
    pool1 = max_pool() if stride >= 4 else nn.Identity()
    pool2 = max_pool() if stride >= 2 else nn.Identity()
    return nn.Sequential(conv1, pool1, ConvBlock(64, 64, 1, norm=norm), ConvBlock(64, 192, 3, norm=norm), pool2)


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


def auxiliary_head(in_channels: int, side: int, num_classes: int, norm: str) -> nn.Sequential:
    """Section 5: (B, in_channels, side, side) -> (B, num_classes)."""
    features = nn.Sequential(nn.AvgPool2d(5, stride=3), ConvBlock(in_channels, 128, 1, norm=norm), nn.Flatten())
    (values,) = feature_shape(features, in_channels, side)
    return nn.Sequential(
        features,
        nn.Linear(values, 1024), nn.ReLU(inplace=True), nn.Dropout(0.7),
        nn.Linear(1024, num_classes),
    )  # fmt: skip
