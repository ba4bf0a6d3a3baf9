"""BigGAN (Brock, Donahue & Simonyan 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis,
arXiv:1809.11096, appendix B), for the image sizes of `dcgan`.

Class-conditional batch norm: de Vries et al. 2017; projection: Miyato & Koyama 2018, cGANs with Projection
Discriminator; self-attention: Zhang, Goodfellow, Metaxas & Odena 2019. Weights begin orthogonal (Saxe et al. 2014).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count
from lightloom.networks.class_embedding import ClassEmbedding
from lightloom.networks.dcgan import halvings
from lightloom.networks.resnet_gan import Down, Same, conv3x3
from lightloom.networks.spectral_norm import LAYERS, normalize

MOST_WIDE = 16  # times the width next to the image


class Generator(nn.Module):
    """z (B, latent_dim) and labels, int64 (B,) or weights (B, num_classes), -> images (B, C, H, W) in [-1, 1].

    hierarchical: the first layer and each block get a part of z of their own. doubling: maps of half the side are twice
    as wide, up to 16 times `width`, that of maps of the image's side. attention: at half the image's side.
    """

    def __init__(
        self,
        latent_dim: Count,
        num_classes: Count,
        channels: Count,
        image_size: Count,
        width: Count = 96,
        doubling: bool = False,
        shared_dim: Count = 128,
        hierarchical: bool = True,
        attention: bool = True,
        spectral_norm: bool = True,
    ) -> None:
        super().__init__()
        count = halvings(image_size)
        side, widths = image_size >> count, stage_widths(width, count + 1, doubling)[::-1]
        self.latent_dim = latent_dim
        self.parts = near_equal_parts(latent_dim, count + 1) if hierarchical else [latent_dim] + [0] * count
        self.embedding = ClassEmbedding(num_classes, shared_dim)
        self.project = nn.Sequential(
            nn.Linear(self.parts[0], widths[0] * side**2), nn.Unflatten(1, (widths[0], side, side))
        )
        told = zip(pairwise(widths), self.parts[1:], strict=True)
        self.blocks = nn.ModuleList(Up(a, b, shared_dim + part) for (a, b), part in told)
        self.attention = SelfAttention(widths[-2]) if attention else nn.Identity()
        norm = nn.BatchNorm2d(widths[-1])
        self.image = nn.Sequential(norm, nn.ReLU(inplace=True), conv3x3(widths[-1], channels), nn.Tanh())
        make_orthogonal(self)
        if spectral_norm:
            normalize(self.project, self.blocks, self.attention, self.image)  # the paper's embedding has none

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        shared = self.embedding(labels)
        first, *rest = z.split(self.parts, dim=1)
        x = self.project(first)
        for i, (block, part) in enumerate(zip(self.blocks, rest, strict=True), start=2):
            x = block(x, torch.cat([shared, part], dim=1))
            x = self.attention(x) if i == len(self.blocks) else x
        images: Tensor = self.image(x)
        return images


class Discriminator(nn.Module):
    """Images (B, C, H, W) in [-1, 1] and labels, int64 (B,) -> scores (B,): psi(h) + <embedding of the class, h>."""

    def __init__(
        self,
        num_classes: Count,
        channels: Count,
        image_size: Count,
        width: Count = 96,
        doubling: bool = False,
        attention: bool = True,
        spectral_norm: bool = True,
    ) -> None:
        super().__init__()
        count = halvings(image_size, smallest=8)
        widths = stage_widths(width, count, doubling)
        first = Down(channels, widths[0], first=True)
        between = SelfAttention(widths[0]) if attention else nn.Identity()
        downs = (Down(a, b) for a, b in pairwise(widths))
        self.blocks = nn.Sequential(first, between, *downs, Same(widths[-1]), Same(widths[-1]))
        self.projection = Projection(widths[-1], num_classes)
        make_orthogonal(self)
        if spectral_norm:
            normalize(self)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        scores: Tensor = self.projection(self.blocks(images).relu().sum((2, 3)), labels)
        return scores


class Projection(nn.Module):
    """Features h (B, features) and labels, int64 (B,) -> scores (B,): psi(h) + <embedding of the class, h>.

    It can be log p(h, y) - log q(h, y) where log p(y|h) and log q(y|h) are softmaxes of linear maps of h.  Miyato &
    Koyama 2018, eqs. 3 and 4.
    """

    def __init__(self, features: Count, num_classes: Count) -> None:
        super().__init__()
        self.psi, self.classes = nn.Linear(features, 1), nn.Embedding(num_classes, features)

    def forward(self, h: Tensor, labels: Tensor) -> Tensor:
        scores: Tensor = self.psi(h).squeeze(1) + (self.classes(labels) * h).sum(1)
        return scores


class ConditionalBatchNorm(nn.Module):
    """Batch norm of (B, channels, h, w) with gains and shifts from a condition (B, condition_dim), gains about 1."""

    def __init__(self, channels: Count, condition_dim: Count) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(condition_dim, channels, bias=False)
        self.shift = nn.Linear(condition_dim, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, shift = (layer(condition)[:, :, None, None] for layer in (self.gain, self.shift))
        normed: Tensor = self.norm(x)
        scaled: Tensor = normed * (1 + gain) + shift
        return scaled


class Up(nn.Module):
    """Twice the side: (B, in_channels, h, w) and a condition (B, condition_dim) -> (B, out_channels, 2h, 2w)."""

    def __init__(self, in_channels: int, out_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = ConditionalBatchNorm(in_channels, condition_dim), conv3x3(in_channels, out_channels)
        self.norm2, self.conv2 = ConditionalBatchNorm(out_channels, condition_dim), conv3x3(out_channels, out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        residual: Tensor = self.conv1(F.interpolate(self.norm1(x, condition).relu(), scale_factor=2))
        residual = self.conv2(self.norm2(residual, condition).relu())
        return residual + F.interpolate(self.shortcut(x), scale_factor=2)  # as in `resnet_gan.Up`


class SelfAttention(nn.Module):
    """x + gamma * attention of each place to all, (B, channels, h, w), sides even; gamma begins at 0."""

    def __init__(self, channels: Count) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query, self.key = (nn.Conv2d(channels, narrow, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.output = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        key, value = (F.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))
        # A fused attention has no second derivative, which penalties on gradients need.
        weights = (self.query(x).flatten(2).transpose(1, 2) @ key).softmax(-1)  # (B, h w, h w / 4)
        attended = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        residual: Tensor = self.gamma * self.output(attended)
        return x + residual


def stage_widths(width: int, count: int, doubling: bool) -> list[int]:
    """Of maps from the largest side to the smallest."""
    return [width * (min(2**i, MOST_WIDE) if doubling else 1) for i in range(count)]


def near_equal_parts(latent_dim: int, count: int) -> list[int]:
    """The sizes of the parts of a latent, which differ by one at most; UserError where one would be empty."""
    if latent_dim < count:
        raise UserError(
            f"model.generator.latent_dim is {latent_dim}, but a hierarchical latent has {count} parts here; set at "
            f"least model.generator.latent_dim={count}, or model.generator.hierarchical=false."
        )
    return [len(part) for part in torch.arange(latent_dim).tensor_split(count)]


def make_orthogonal(network: nn.Module) -> None:
    """Redraw all weight matrices orthogonal, with zero biases."""
    for layer in network.modules():
        if isinstance(layer, LAYERS):
            nn.init.orthogonal_(layer.weight)
            if getattr(layer, "bias", None) is not None:
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
