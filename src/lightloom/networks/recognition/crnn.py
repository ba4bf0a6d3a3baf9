"""CRNN (Shi, Bai & Yao 2015, An End-to-End Trainable Neural Network for Image-based Sequence Recognition,
arXiv:1507.05717): convolutions down to one row, whose columns two bidirectional LSTMs read.

Here each convolution is normalised, where the paper has it after the fifth and the sixth, and in training a second head
reads the columns before the LSTMs (Lee & Watanabe 2021, Intermediate Loss Regularization for CTC-based Speech
Recognition, arXiv:2102.03216). Without it blanks everywhere stay the best idea for many hundred steps, since what
convolutions are told of letters has to come through LSTMs that do not know them yet.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count
from lightloom.networks.blocks import Block, ConvBlock, Norm, feature_shape

SMALLEST = 16  # pixels of a picture's height


class ConvColumns(nn.Sequential):
    """The seven convolutions (table 1): (B, C, H, W) to (B, 8 width, 1, T), with T about a quarter of W.

    width: channels of the first, 64 in the paper.
    """

    def __init__(self, in_channels: Count, height: Count, width: Count = 64, norm: Norm = "batch") -> None:
        if height < SMALLEST:
            raise UserError(f"data.height is {height}; a CRNN halves it four times, so set {SMALLEST} or more.")
        super().__init__(
            OrderedDict(
                layer1=Block(ConvBlock(in_channels, width, 3, norm=norm), nn.MaxPool2d(2)),
                layer2=Block(ConvBlock(width, 2 * width, 3, norm=norm), nn.MaxPool2d(2)),
                layer3=Block(
                    ConvBlock(2 * width, 4 * width, 3, norm=norm),
                    ConvBlock(4 * width, 4 * width, 3, norm=norm),
                    nn.MaxPool2d((2, 1)),
                ),
                layer4=Block(
                    ConvBlock(4 * width, 8 * width, 3, norm=norm),
                    ConvBlock(8 * width, 8 * width, 3, norm=norm),
                    nn.MaxPool2d((2, 1)),
                ),
                layer5=Block(nn.Conv2d(8 * width, 8 * width, (height // 16, 2)), nn.ReLU(inplace=True)),
            )
        )
        self.to(memory_format=torch.channels_last)  # in which pooling costs a CPU a fifth


class CRNN(nn.Module):
    """(B, C, H, W) to logits (B, T, num_symbols + 1) of T columns; in training a tuple with the auxiliary ones.

    Symbol 0 is CTC's blank. channels: of the first convolution; hidden: of each direction of an LSTM; both as in the
    paper where left out. auxiliary: a linear head on the columns that the LSTMs read.
    """

    def __init__(
        self,
        in_channels: Count,
        num_symbols: Count,
        height: Count,
        width: Count,
        channels: Count = 64,
        hidden: Count = 256,
        layers: Count = 2,
        norm: Norm = "batch",
        dropout: BelowOne = 0.0,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.features = ConvColumns(in_channels, height, channels, norm)
        self.lstm = nn.LSTM(8 * channels, hidden, layers, batch_first=True, bidirectional=True)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(2 * hidden, num_symbols + 1)
        self.auxiliary = nn.Linear(8 * channels, num_symbols + 1) if auxiliary else None
        self.columns = feature_shape(self.features, in_channels, height, width)[2]

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        columns = self.features(images).squeeze(2).transpose(1, 2)
        logits = self.head(self.dropout(self.lstm(columns)[0]))
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary(columns)
        return logits  # type: ignore[no-any-return]
