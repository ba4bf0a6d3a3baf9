"""U-Net (Ronneberger, Fischer & Brox 2015, arXiv:1505.04597), padded, so that masks have the size of the images.

The paper's convolutions have no padding and lose a border; padding of images to a multiple of 2^depth, cut off again,
lets any size in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from lightloom.core.ranges import BelowOne, Count, checked
from lightloom.networks.blocks import Block, ConvBlock, Norm


class UNet(nn.Module):
    """Images (B, in_channels, H, W) to logits (B, num_classes, H, W), H and W at least 1.

    width: channels at the full resolution, doubled at each of `depth` halvings; the paper's are 64 and 4. norm: after
    each convolution. dropout: at the end of the contracting path, as in section 3.1.
    """

    @checked
    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        width: Count = 64,
        depth: Count = 4,
        norm: Norm = "batch",
        dropout: BelowOne = 0.0,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.depth = depth
        self.down = nn.ModuleList(_twice(a, b, norm) for a, b in zip([in_channels, *widths], widths, strict=False))
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
        self.merge = nn.ModuleList(_twice(2 * w, w, norm) for w in widths[:-1])
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        first, *rest = self.down
        levels = [first(padded(images, 2**self.depth))]
        for block in rest:
            levels.append(block(max_pool2d(levels[-1], 2)))
        x = self.dropout(levels.pop())
        for skip, up, merge in zip(levels[::-1], reversed(self.up), reversed(self.merge), strict=True):
            x = merge(torch.cat([skip, up(x)], 1))
        logits: Tensor = self.head(x)
        return logits[..., :height, :width]


def padded(images: Tensor, multiple: int) -> Tensor:
    """Images (B, C, H, W) with the last row and column repeated until both sides are whole multiples."""
    height, width = images.shape[-2:]
    return pad(images, (0, -width % multiple, 0, -height % multiple), "replicate")


def enlarged_to(x: Tensor, size: torch.Size) -> Tensor:
    """Maps (B, C, h, w) at (height, width), bilinear between the pixels' middles."""
    return interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def _twice(before: int, after: int, norm: Norm) -> Block:
    convolutions = ConvBlock(before, after, 3, norm=norm), ConvBlock(after, after, 3, norm=norm)
    for block in convolutions:
        nn.init.kaiming_normal_(block.conv.weight, nonlinearity="relu")  # sqrt(2 / N), section 3
    return Block(*convolutions)
