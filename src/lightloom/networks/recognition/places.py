"""Networks of pictures made to read: logits of each place of a text, or of each column for CTC."""

from collections import OrderedDict

from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.blocks import feature_shape

ENDS = ("pool", "classifier", "head", "fc")  # children with which a network's own classifier begins


class PlaceHeads(nn.Module):
    """(B, C, H, W) to logits (B, length, num_symbols + 1): each place of a text reads the columns that it looks at.

    A head for each place as in Goodfellow et al. 2014, Multi-digit Number Recognition from Street View Imagery,
    arXiv:1312.6082, with the parallel attention of Yu et al. 2020 (arXiv:2003.12294, section 3.2): heads that are
    linear in all columns would have to learn each symbol anew wherever a text may begin. Here the scores come from a
    bidirectional GRU over the columns, which can count letters, and places share their head. backbone: an
    nn.Sequential, of which what makes maps is kept; its rows are averaged. hidden: of each direction of the GRU. Symbol
    0 is no letter, and is never right.
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
        hidden: Count = 64,
        dropout: BelowOne = 0.0,
    ) -> None:
        super().__init__()
        self.features = features_of(backbone)
        channels = feature_shape(self.features, in_channels, height, width)[0]
        self.gru = nn.GRU(channels, hidden, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(2 * hidden, length)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(channels, num_symbols + 1)

    def forward(self, images: Tensor) -> Tensor:
        columns = self.features(images).mean(2).transpose(1, 2)
        shares = self.scores(self.gru(columns)[0]).softmax(1)  # of each column in each place, (B, T, length)
        return self.head(self.dropout(shares.transpose(1, 2) @ columns))  # type: ignore[no-any-return]


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
