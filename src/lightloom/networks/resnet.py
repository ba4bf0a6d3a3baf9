"""ResNet (He, Zhang, Ren & Sun 2016, Deep Residual Learning for Image Recognition, arXiv:1512.03385).

Depths 18 to 152 are those for ImageNet (table 1, shortcuts of option B), depths 8 to 1202 (6n + 2) those for CIFAR
(section 4.2, option A; the paper begins at 20). Bottlenecks stride in their 3x3 convolution, as torchvision's and most
published weights do.
"""

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from lightloom.core.ranges import Count, Positive
from lightloom.networks.blocks import Block, ConvBlock, Norm, thinned
from lightloom.networks.choices import one_of

IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
CIFAR = {depth: ((depth - 2) // 6,) * 3 for depth in (8, 14, 20, 32, 44, 56, 110, 1202)}
Depth = Literal[8, 14, 18, 20, 32, 34, 44, 50, 56, 101, 110, 152, 1202]
Stem = Literal["auto", "cifar", "imagenet"]
BOTTLENECK_FROM = 50
EXPANSION = 4


class ResNet(nn.Sequential):
    """(B, C, H, W) -> (B, num_classes).

    stem: imagenet (7x7 stride 2, max pooling) | cifar (3x3) | auto: cifar for the CIFAR depths and below 64 px.
    shortcut: False gives the paper's plain network. width: multiplier of all widths.
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        depth: Depth,
        stem: Stem = "auto",
        shortcut: bool = True,
        norm: Norm = "batch",
        width: Positive = 1.0,
    ) -> None:
        super().__init__()
        one_of("depth", depth, get_args(Depth), "model.network.depth")
        one_of("stem", stem, get_args(Stem), "model.network.stem")
        small = stem == "cifar" or (stem == "auto" and (depth in CIFAR or image_size < 64))
        channels = thin = thinned(16 if depth in CIFAR else 64, width)
        self.stem = ConvBlock(in_channels, thin, 3, norm=norm) if small else imagenet_stem(in_channels, norm, thin)
        option = ("A" if depth in CIFAR else "B") if shortcut else "none"
        bottleneck = depth in IMAGENET and depth >= BOTTLENECK_FROM
        for i, blocks in enumerate((IMAGENET | CIFAR)[depth], start=1):
            layer = nn.Sequential()
            for j in range(blocks):
                stride = 2 if i > 1 and j == 0 else 1
                layer.append(Residual(channels, thin, stride, bottleneck, option, norm))
                channels = thin * EXPANSION if bottleneck else thin
            self.add_module(f"layer{i}", layer)
            thin *= 2
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.classifier = nn.Linear(channels, num_classes)


class Residual(nn.Module):
    """ReLU(F(x) + x), equation 1: (B, channels, H, W) -> (B, width, H / stride, W / stride); option `none`: ReLU(F(x)).

    A bottleneck's output has 4 width channels. Sizes are rounded up.
    """

    def __init__(self, channels: int, width: int, stride: int, bottleneck: bool, option: str, norm: str) -> None:
        super().__init__()
        if bottleneck:
            out_channels = width * EXPANSION
            self.residual = Block(
                ConvBlock(channels, width, 1, norm=norm),
                ConvBlock(width, width, 3, stride, norm=norm),
                ConvBlock(width, out_channels, 1, norm=norm, activation=False),
            )
        else:
            out_channels = width
            self.residual = Block(
                ConvBlock(channels, width, 3, stride, norm=norm),
                ConvBlock(width, width, 3, norm=norm, activation=False),
            )
        self.shortcut = make_shortcut(option, channels, out_channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        f = self.residual(x)
        return F.relu(f if self.shortcut is None else f + self.shortcut(x))


class PadShortcut(nn.Module):
    """Option A: subsample by the stride and pad channels with zeros; no parameters.

    (B, C, H, W) -> (B, C + new_channels, H / stride, W / stride), sizes rounded up.
    """

    def __init__(self, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride, self.new_channels = stride, new_channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def make_shortcut(option: str, channels: int, out_channels: int, stride: int, norm: str) -> nn.Module | None:
    """The identity where shapes agree, else option A (padding) or B (projection) of section 3.3."""
    if option == "none":
        return None
    if stride == 1 and channels == out_channels:
        return nn.Identity()
    if option == "A":
        return PadShortcut(stride, out_channels - channels)
    return ConvBlock(channels, out_channels, 1, stride, norm=norm, activation=False)


def imagenet_stem(in_channels: int, norm: str, width: int) -> nn.Sequential:
    """Table 1: conv1 and the pooling of conv2_x, a quarter of the image's side."""
    return nn.Sequential(ConvBlock(in_channels, width, 7, 2, norm=norm), nn.MaxPool2d(3, stride=2, padding=1))
