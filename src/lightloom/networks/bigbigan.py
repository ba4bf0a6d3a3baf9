"""Encoder and discriminator of BigBiGAN (Donahue & Simonyan 2019, Large Scale Adversarial Representation Learning,
arXiv:1907.02544), small: the blocks of `resnet_gan`, for the image sizes of `dcgan`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from lightloom.core.ranges import Count
from lightloom.networks.biggan import make_orthogonal, stage_widths
from lightloom.networks.dcgan import halvings
from lightloom.networks.resnet_gan import Down, Same
from lightloom.networks.spectral_norm import normalize


class Encoder(nn.Module):
    """Images (B, C, H, W) in [-1, 1] -> (B, outputs): a mean and a log variance of each latent."""

    def __init__(
        self, channels: Count, image_size: Count, outputs: Count, width: Count = 64, doubling: bool = True
    ) -> None:
        super().__init__()
        self.features = Features(channels, image_size, width, doubling)
        self.head = nn.Linear(self.features.outputs, outputs)
        make_orthogonal(self)

    def forward(self, images: Tensor) -> Tensor:
        statistics: Tensor = self.head(self.features(images))
        return statistics


class Discriminator(nn.Module):
    """Images (B, C, H, W) in [-1, 1] and latents (B, latent_dim) -> scores (B, 3): s_x, s_z and s_xz of section 2.

    F reads the image, H the latent and J both features; each has a linear score.
    """

    def __init__(
        self,
        channels: Count,
        image_size: Count,
        latent_dim: Count,
        width: Count = 64,
        doubling: bool = True,
        hidden: Count = 256,
        spectral_norm: bool = True,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.image = Features(channels, image_size, width, doubling)
        self.latent = perceptron(latent_dim, hidden)
        self.joint = perceptron(self.image.outputs + hidden, hidden)
        self.scores = nn.ModuleList(nn.Linear(values, 1) for values in (self.image.outputs, hidden, hidden))
        make_orthogonal(self)
        if spectral_norm:
            normalize(self)

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        of_image, of_latent = self.image(images), self.latent(z)
        judged = of_image, of_latent, self.joint(torch.cat([of_image, of_latent], dim=1))
        return torch.cat([score(features) for score, features in zip(self.scores, judged, strict=True)], dim=1)


class Features(nn.Module):
    """Images (B, C, H, W) in [-1, 1] -> (B, outputs), the mean over the last map. Without batch norm."""

    def __init__(self, channels: Count, image_size: Count, width: Count, doubling: bool) -> None:
        super().__init__()
        widths = stage_widths(width, halvings(image_size, smallest=8), doubling)
        downs = (Down(a, b) for a, b in pairwise(widths))
        self.outputs = widths[-1]
        self.blocks = nn.Sequential(Down(channels, width, first=True), *downs, Same(self.outputs), Same(self.outputs))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(images).relu().mean((2, 3))
        return features


def perceptron(values: int, hidden: int) -> nn.Sequential:
    """(B, values) -> (B, hidden), three layers."""
    layers = [part for a in (values, hidden, hidden) for part in (nn.Linear(a, hidden), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers)
