"""Multilayer perceptron (Rumelhart, Hinton & Williams 1986, Learning Representations by Back-propagating Errors)."""

from collections.abc import Sequence

from torch import nn

from lightloom.core.ranges import Count, Share


class MLP(nn.Sequential):
    """Linear layers with ReLU between them. (B, C, H, W) -> (B, num_classes)."""

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        hidden: Sequence[Count] = (64, 128, 64),
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(nn.Flatten())
        width = in_channels * image_size**2
        for units in hidden:
            self.extend([nn.Linear(width, units), nn.ReLU(inplace=True), nn.Dropout(dropout)])
            width = units
        self.append(nn.Linear(width, num_classes))
