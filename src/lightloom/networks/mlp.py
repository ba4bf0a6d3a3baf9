"""Multilayer perceptron (Rumelhart, Hinton & Williams 1986, Learning Representations by Back-propagating Errors)."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import nn

from lightloom.core.ranges import Count, Share
from lightloom.networks.blocks import Norm, normalization
from lightloom.networks.choices import one_of

Activation = Literal["relu", "tanh"]


def activated(name: str) -> nn.Module:
    """The layer of that name."""
    one_of("activation", name, get_args(Activation), "the network's activation")
    return nn.Tanh() if name == "tanh" else nn.ReLU(inplace=True)


class MLP(nn.Sequential):
    """Linear layers, between them a normalization where asked, ReLU or another activation, and dropout.

    (B, C, H, W) -> (B, num_classes).
    """

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count,
        image_size: Count,
        hidden: Sequence[Count] = (64, 128, 64),
        dropout: Share = 0.0,
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        super().__init__(nn.Flatten())
        width = in_channels * image_size**2
        for units in hidden:
            between = [] if norm == "none" else [normalization(norm, units, dimensions=1)]
            self.extend([nn.Linear(width, units), *between, activated(activation), nn.Dropout(dropout)])
            width = units
        self.append(nn.Linear(width, num_classes))
