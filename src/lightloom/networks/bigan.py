"""Joint discriminator of BiGAN (Donahue, Krähenbühl & Darrell 2017, Adversarial Feature Learning, arXiv:1605.09782).

Its encoder is `dcgan.Encoder` with `outputs` set to latent_dim, its generator `dcgan.Generator`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightloom.core.ranges import Count, Share
from lightloom.networks.dcgan import Encoder, Norm


class JointDiscriminator(nn.Module):
    """Discriminate pairs (x, E(x)) from (G(z), z): images (B, C, H, W) and z (B, latent_dim) -> scores (B,).

    A convolutional network reads the image, a linear layer the latent; two more layers judge them together.
    """

    def __init__(
        self,
        channels: Count,
        image_size: Count,
        latent_dim: Count,
        width: Count = 64,
        hidden: Count = 512,
        dropout: Share = 0.0,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.images = Encoder(channels, image_size, hidden, width, norm, dropout)
        self.latents = nn.Linear(latent_dim, hidden)
        self.joint = nn.Sequential(
            nn.LeakyReLU(0.2), nn.Dropout(dropout), nn.Linear(2 * hidden, hidden),
            nn.LeakyReLU(0.2), nn.Dropout(dropout), nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        """Score pairs: images (B, C, H, W) in [-1, 1], and z (B, latent_dim), E(x) of real images or the z of G(z)."""
        scores: Tensor = self.joint(torch.cat([self.images(images), self.latents(z)], dim=1))
        return scores.squeeze(1)
