"""Networks of pictures made to read: a head for each place of a text, or logits of each column for CTC."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.blocks import feature_shape

ENDS = ("pool", "classifier", "head", "fc")  # children with which a network's own classifier begins


class PlaceHeads(nn.Module):
    """(B, C, H, W) to logits (B, length, num_symbols + 1), each head linear in all columns of the backbone's features.

    Goodfellow et al. 2014, Multi-digit Number Recognition from Street View Imagery, arXiv:1312.6082. backbone: an
    nn.Sequential, of which what makes maps is kept. Its features are averaged to twice as many columns as places, so
    that it stays known where a letter was. Symbol 0 is no letter, and is never right.
    """

    columns = None

    def __init__(
        self,
        backbone: nn.Module,
        in_channels: Count,
        num_symbols: Count,
        height: Count,
        width: Count,
        length: Count,
        dropout: BelowOne = 0.0,
    ) -> None:
        super().__init__()
        self.features = features_of(backbone)
        channels, _, columns = feature_shape(self.features, in_channels, height, width)
        self.pool = nn.Sequential(ColumnMeans(columns, 2 * length), nn.Flatten(), nn.Dropout(dropout))
        self.heads = nn.Linear(channels * 2 * length, length * (num_symbols + 1))
        self.length = length

    def forward(self, images: Tensor) -> Tensor:
        return self.heads(self.pool(self.features(images))).unflatten(1, (self.length, -1))  # type: ignore[no-any-return]


class ColumnMeans(nn.Module):
    """Maps (B, C, H, W) to (B, C, count), as nn.AdaptiveAvgPool2d((1, count)), which ONNX has for some widths only."""

    shares: Tensor

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        shares = torch.zeros(width, count)
        for i in range(count):
            begin, end = i * width // count, -(-(i + 1) * width // count)
            shares[begin:end, i] = 1 / (end - begin)
        self.register_buffer("shares", shares, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(2) @ self.shares


class ColumnHeads(nn.Module):
    """(B, C, H, W) to logits (B, T, num_symbols + 1) of the T columns of the backbone's features, for CTC.

    backbone: as for PlaceHeads. Its rows are averaged; symbol 0 is the blank.
    """

    def __init__(
        self,
        backbone: nn.Module,
        in_channels: Count,
        num_symbols: Count,
        height: Count,
        width: Count,
        dropout: BelowOne = 0.0,
    ) -> None:
        super().__init__()
        self.features = features_of(backbone)
        channels, _, self.columns = feature_shape(self.features, in_channels, height, width)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(channels, num_symbols + 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images).mean(2).transpose(1, 2)))  # type: ignore[no-any-return]


def features_of(backbone: nn.Module) -> nn.Sequential:
    """The part of a network that makes maps (B, C, H, W): its children before the first of ENDS."""
    if not isinstance(backbone, nn.Sequential):
        raise UserError(
            f"model.network.backbone: {type(backbone).__name__} is no nn.Sequential, so it is not known where "
            f"its maps end; use a network such as alexnet, nin or vgg."
        )
    kept: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in backbone.named_children():
        if name in ENDS:
            break
        kept[name] = module
    return nn.Sequential(kept)
