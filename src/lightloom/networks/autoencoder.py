"""Perceptrons of autoencoders (Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks).

Also of variational ones (Kingma & Welling 2014, arXiv:1312.6114), with ReLU. `dcgan` has the convolutional networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lightloom.core.ranges import Count
from lightloom.networks.mlp import MLP, Activation, activated


class Encoder(MLP):
    """Images (B, C, H, W) -> (B, outputs)."""

    def __init__(
        self,
        channels: Count,
        image_size: Count,
        outputs: Count,
        hidden: Sequence[Count] = (512, 256),
        activation: Activation = "relu",
    ) -> None:
        super().__init__(channels, outputs, image_size, hidden, activation=activation)


class Decoder(nn.Sequential):
    """z (B, latent_dim) -> unactivated (B, C, H, W)."""

    def __init__(
        self,
        latent_dim: Count,
        channels: Count,
        image_size: Count,
        hidden: Sequence[Count] = (256, 512),
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        widths = [latent_dim, *hidden]
        for a, b in pairwise(widths):
            self.extend([nn.Linear(a, b), activated(activation)])
        self.append(nn.Linear(widths[-1], channels * image_size**2))
        self.append(nn.Unflatten(1, (channels, image_size, image_size)))
