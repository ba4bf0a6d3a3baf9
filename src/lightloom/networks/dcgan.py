"""DCGAN (Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, arXiv:1511.06434), for square images whose side is a multiple of 4 from 16 to 128.

The paper's network for 64 px has 4 stages between the image and a map of 4 x 4. Here a map is halved while its side is
even and above 4, and its width doubles each time; `width` is that of the stage next to the image.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Share
from lightloom.networks.choices import one_of
from lightloom.networks.spectral_norm import normalize

SIZES = range(16, 129, 4)
Norm = Literal["none", "batch", "layer"]


class Encoder(nn.Module):
    """Strided 4x4 convolutions and a linear layer. Images (B, C, H, W) -> (B, outputs).

    norm: batch, layer or none; never in the first stage. `layer` is over a whole map (C, h, w), for critics with a
    gradient penalty, where batch norm would tie the images of a batch together (Gulrajani et al. 2017, section 4).
    dropout: before every layer but the first.
    """

    def __init__(
        self,
        channels: Count,
        image_size: Count,
        outputs: Count,
        width: Count = 64,
        norm: Norm = "batch",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        count = halvings(image_size)
        widths = [width * 2**i for i in range(count)]
        rest = [nn.Sequential(nn.Dropout(dropout), *down(a, b, norm)) for a, b in pairwise(widths)]
        self.stages = nn.Sequential(down(channels, width, "none"), *rest)
        values = widths[-1] * (image_size >> count) ** 2
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Flatten(), nn.Linear(values, outputs))

    def features(self, images: Tensor, stages: int | None = None) -> Tensor:
        """The map (B, C', h, w) after the last stage, or after the first `stages`; `head` maps the last to outputs."""
        for stage in list(self.stages)[:stages]:
            images = stage(images)
        return images

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.features(images))
        return outputs


class Decoder(nn.Module):
    """A linear layer and transposed 4x4 convolutions. z (B, latent_dim) -> unactivated (B, C, H, W)."""

    def __init__(
        self, latent_dim: Count, channels: Count, image_size: Count, width: Count = 64, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        count = halvings(image_size)
        side = image_size >> count
        widths = [width * 2**i for i in reversed(range(count))]
        self.project = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * side**2, bias=norm != "batch"),
            nn.Unflatten(1, (widths[0], side, side)),
            normalization(norm, widths[0]),
            nn.ReLU(),
        )
        stages = [up(a, b, norm) for a, b in pairwise(widths)]
        self.stages = nn.Sequential(*stages, nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.stages(self.project(z))
        return images


class Generator(Decoder):
    """z (B, latent_dim) -> images (B, C, H, W) in [-1, 1]."""

    def __init__(
        self,
        latent_dim: Count,
        channels: Count,
        image_size: Count,
        width: Count = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__(latent_dim, channels, image_size, width, norm)
        initialize(self)
        if spectral_norm:
            normalize(self)

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).tanh()


class Discriminator(Encoder):
    """Images (B, C, H, W) in [-1, 1] -> scores (B,)."""

    def __init__(
        self,
        channels: Count,
        image_size: Count,
        width: Count = 64,
        norm: Norm = "batch",
        dropout: Share = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__(channels, image_size, 1, width, norm, dropout)
        initialize(self)
        if spectral_norm:
            normalize(self)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).squeeze(1)


def halvings(image_size: int, smallest: int = 4) -> int:
    """How often a side is halved while even and above `smallest`: 28 -> 7 in 2, 32 -> 4 in 3, 100 -> 25 in 2."""
    if image_size not in SIZES:
        nearest = min(max((image_size + 2) // 4 * 4, SIZES[0]), SIZES[-1])
        raise UserError(
            f"image_size {image_size} is not a multiple of 4 from {SIZES[0]} to {SIZES[-1]}, the sizes this network "
            f"makes; set data.image_size={nearest}."
        )
    count = 0
    while image_size % 2 == 0 and image_size > smallest:
        image_size, count = image_size // 2, count + 1
    return count


def down(in_channels: int, out_channels: int, norm: str) -> nn.Sequential:
    """(B, in_channels, 2h, 2w) -> (B, out_channels, h, w)."""
    conv = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=norm != "batch")
    return nn.Sequential(conv, normalization(norm, out_channels), nn.LeakyReLU(0.2, inplace=True))


def up(in_channels: int, out_channels: int, norm: str) -> nn.Sequential:
    """(B, in_channels, h, w) -> (B, out_channels, 2h, 2w)."""
    conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=norm != "batch")
    return nn.Sequential(conv, normalization(norm, out_channels), nn.ReLU(inplace=True))


def normalization(norm: str, channels: int) -> nn.Module:
    """batch: Ioffe & Szegedy 2015. layer: Ba, Kiros & Hinton 2016, with a scale and a shift for each channel."""
    one_of("norm", norm, get_args(Norm), "the network's norm")
    if norm == "none":
        return nn.Identity()
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(1, channels)


def initialize(network: nn.Module) -> None:
    """Weights N(0, 0.02) (section 4), those of batch norm N(1, 0.02); biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, float(isinstance(layer, nn.BatchNorm2d)), 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
