"""Class-conditional adversarial networks: both players are told the class.

Mirza & Osindero 2014, Conditional Generative Adversarial Nets; Miyato & Koyama 2018, cGANs with Projection
Discriminator; Brock, Donahue & Simonyan 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lightloom.data import contract
from lightloom.modules.adversarial import symmetric, unit
from lightloom.modules.gan import GAN
from lightloom.networks.class_embedding import ClassEmbedding
from lightloom.ops.typed_trainer import typed


class ConditionalGAN(GAN):
    """As GAN, of generator(z, labels) and discriminator(images, labels), labels int64 (B,) from 0.

    The generator has a `ClassEmbedding`, called `embedding`. A step's fakes have the classes of its real images, so
    both have the same shares of them. A latent without a class gets one that its values decide, in the shares that the
    training data has.
    """

    @property
    def embedding(self) -> ClassEmbedding:
        return self.generator.embedding  # type: ignore[return-value]

    @property
    def num_classes(self) -> int:
        return self.embedding.num_embeddings

    def on_fit_start(self) -> None:
        split = contract.offered(typed(self.trainer).datamodule, "split", "train")
        labels = getattr(split("train"), "labels", None) if split else None
        if labels is not None:
            self.embedding.count(labels)

    def inputs(self, batch: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return symmetric(batch[0]), batch[1]

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [0, 1] for latents z (B, latent_dim).

        labels: int64 (B,); or float (B, num_classes), the weights of classes that are mixed; or none: `classes_of(z)`.
        """
        return unit(self.generator(z, self.classes_of(z) if labels is None else labels))

    def classes_of(self, z: Tensor) -> Tensor:
        """The classes, int64 (B,), of latents (B, latent_dim) that are given none."""
        return self.embedding.draw(z)
