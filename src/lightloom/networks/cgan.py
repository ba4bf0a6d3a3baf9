"""The conditional perceptrons of Mirza & Osindero 2014 (Conditional Generative Adversarial Nets, arXiv:1411.1784).

The networks of its MNIST experiments (section 4.1): image, noise and class have a hidden layer each, then a joint one.
The paper's images are in [0, 1]; ours are in [-1, 1], and both networks convert.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightloom.core.ranges import Count, Share
from lightloom.networks.class_embedding import ClassEmbedding
from lightloom.networks.goodfellow import Maxout


class Generator(nn.Module):
    """z (B, latent_dim) and labels, int64 (B,) or weights (B, num_classes), -> images (B, C, H, W) in [-1, 1].

    A row of `embedding` is what a linear layer makes of a class given as one-hot.
    """

    def __init__(
        self,
        latent_dim: Count,
        num_classes: Count,
        channels: Count,
        image_size: Count,
        noise_units: Count = 200,
        class_units: Count = 1000,
        joint_units: Count = 1200,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.noise, self.embedding = nn.Linear(latent_dim, noise_units), ClassEmbedding(num_classes, class_units)
        self.joint = nn.Sequential(
            nn.ReLU(inplace=True), nn.Linear(noise_units + class_units, joint_units), nn.ReLU(inplace=True),
            nn.Linear(joint_units, channels * image_size**2), nn.Unflatten(1, (channels, image_size, image_size)),
        )  # fmt: skip

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.joint(torch.cat([self.noise(z), self.embedding(labels)], dim=1))
        return (images / 2).tanh()  # 2 sigmoid(x) - 1 = tanh(x / 2)


class Discriminator(nn.Module):
    """Images (B, C, H, W) in [-1, 1] and labels, int64 (B,) -> scores (B,). Maxout layers with dropout before each."""

    def __init__(
        self,
        num_classes: Count,
        channels: Count,
        image_size: Count,
        image_units: Count = 240,
        class_units: Count = 50,
        joint_units: Count = 240,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.image = nn.Sequential(nn.Flatten(), Maxout(channels * image_size**2, image_units, 5))
        self.classes = Maxout(num_classes, class_units, 5)
        self.joint = nn.Sequential(
            nn.Dropout(dropout), Maxout(image_units + class_units, joint_units, 4),
            nn.Dropout(dropout), nn.Linear(joint_units, 1),
        )  # fmt: skip

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        of_class = self.classes(nn.functional.one_hot(labels, self.num_classes).to(images.dtype))
        scores: Tensor = self.joint(torch.cat([self.image((images + 1) / 2), of_class], dim=1))
        return scores.squeeze(1)
