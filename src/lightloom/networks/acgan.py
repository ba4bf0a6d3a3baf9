"""The networks of AC-GAN (Odena, Olah & Shlens 2017, arXiv:1610.09585, appendix A): those of DCGAN that take or say a
class, at any size of `dcgan`. The paper's discriminator has three-pixel kernels and six stages; this one is as `dcgan`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightloom.core.ranges import Count, Share
from lightloom.networks import dcgan
from lightloom.networks.class_embedding import ClassEmbedding
from lightloom.networks.dcgan import Norm


class Generator(nn.Module):
    """z (B, latent_dim) and labels, int64 (B,) or weights (B, num_classes), -> images (B, C, H, W) in [-1, 1].

    The latent is followed by class_dim values of the class.
    """

    def __init__(
        self,
        latent_dim: Count,
        num_classes: Count,
        channels: Count,
        image_size: Count,
        width: Count = 64,
        class_dim: Count = 10,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.embedding = ClassEmbedding(num_classes, class_dim)
        self.images = dcgan.Generator(latent_dim + class_dim, channels, image_size, width)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.images(torch.cat([z, self.embedding(labels)], dim=1))
        return images


class Discriminator(dcgan.Encoder):
    """Images (B, C, H, W) in [-1, 1] -> scores (B,), and the logits of the classes (B, num_classes)."""

    def __init__(
        self,
        num_classes: Count,
        channels: Count,
        image_size: Count,
        width: Count = 64,
        norm: Norm = "batch",
        dropout: Share = 0.5,
    ) -> None:
        super().__init__(channels, image_size, 1 + num_classes, width, norm, dropout)
        dcgan.initialize(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        outputs = super().forward(images)
        return outputs[:, 0], outputs[:, 1:]
