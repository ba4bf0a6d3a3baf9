"""ResNet generator and critic (Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028).

The network of its CIFAR-10 experiments (appendix), at 32 px three blocks up from 4 x 4 and two down to 8 x 8, for the
image sizes of `dcgan`. Weights begin as He et al. 2015 have them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lightloom.core.ranges import Count
from lightloom.networks.dcgan import halvings
from lightloom.networks.initialization import initialize
from lightloom.networks.spectral_norm import normalize


class Generator(nn.Module):
    """z (B, latent_dim) -> images (B, C, H, W) in [-1, 1]."""

    def __init__(
        self,
        latent_dim: Count,
        channels: Count,
        image_size: Count,
        width: Count = 128,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        count = halvings(image_size)
        side = image_size >> count
        self.project = nn.Sequential(nn.Linear(latent_dim, width * side**2), nn.Unflatten(1, (width, side, side)))
        self.blocks = nn.Sequential(*(Up(width) for _ in range(count)))
        self.image = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True), conv3x3(width, channels), nn.Tanh())
        initialize(self, "he")
        if spectral_norm:
            normalize(self)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.image(self.blocks(self.project(z)))
        return images


class Critic(nn.Module):
    """Images (B, C, H, W) in [-1, 1] -> scores (B,). Without batch norm, which the gradient penalty forbids."""

    def __init__(self, channels: Count, image_size: Count, width: Count = 128, spectral_norm: bool = False) -> None:
        super().__init__()
        downs = (Down(width, width) for _ in range(halvings(image_size, smallest=8) - 1))
        self.blocks = nn.Sequential(Down(channels, width, first=True), *downs, Same(width), Same(width))
        self.head = nn.Linear(width, 1)
        initialize(self, "he")
        if spectral_norm:
            normalize(self)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.blocks(images).relu().mean((2, 3)))
        return scores.squeeze(1)


class Up(nn.Module):
    """Twice the side: (B, width, h, w) -> (B, width, 2h, 2w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2), conv3x3(width, width, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(inplace=True), conv3x3(width, width),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        # 1x1 convolutions commute with nearest upsampling and with mean pooling: they run on the smaller map.
        residual: Tensor = self.residual(x)
        return residual + F.interpolate(self.shortcut(x), scale_factor=2)


class Down(nn.Module):
    """Half the side: (B, in_channels, 2h, 2w) -> (B, width, h, w). The first block has no ReLU on the pixels."""

    def __init__(self, in_channels: int, width: int, first: bool = False) -> None:
        super().__init__()
        before = nn.Identity() if first else nn.ReLU()
        self.residual = nn.Sequential(
            before, conv3x3(in_channels, width), nn.ReLU(inplace=True), conv3x3(width, width), nn.AvgPool2d(2)
        )
        self.shortcut = nn.Conv2d(in_channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.residual(x) + self.shortcut(F.avg_pool2d(x, 2))
        return residual


class Same(nn.Module):
    """(B, width, h, w) -> (B, width, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(nn.ReLU(), conv3x3(width, width), nn.ReLU(inplace=True), conv3x3(width, width))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.residual(x)
        return x + residual


def conv3x3(in_channels: int, out_channels: int, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps the size: (B, in_channels, h, w) -> (B, out_channels, h, w)."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
