"""Bidirectional GAN: an encoder learns to invert the generator.  Donahue et al. 2017, Adversarial Feature Learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightloom.core.ranges import Count, Positive, checked
from lightloom.losses.adversarial import AdversarialLoss
from lightloom.modules.adversarial import REMEDY, check_turns, is_turn, log_error, symmetric, unit
from lightloom.modules.freezing import freezing
from lightloom.modules.latents import check_code
from lightloom.modules.manual_optimization import descend, player
from lightloom.modules.training_means import TrainingMeans
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory


class BiGAN(pl.LightningModule):
    """The discriminator tells pairs (x, E(x)) from pairs (G(z), z); generator and encoder together make it err.

    generator: z (B, latent_dim) to images in [-1, 1]. encoder: such images to (B, latent_dim).
    discriminator: images and latents to scores (B,).
    """

    better: ClassVar[dict[str, str]] = {"mse": "min"}

    @checked
    def __init__(
        self,
        generator: nn.Module,
        encoder: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        n_critic: Count = 1,
        gradient_clip_val: Positive | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.encoder, self.discriminator, self.loss = generator, encoder, discriminator, loss
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.n_critic, self.gradient_clip_val = n_critic, gradient_clip_val
        self.latent_dim: int = generator.latent_dim  # type: ignore[assignment]
        players = ("discriminator", "generator")
        measured = [f"{player}_{what}" for what in ("loss", "grad_norm") for player in players]
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.means = TrainingMeans(*measured, "d_real", "d_fake", remedy=REMEDY)

    @property
    def batches_per_step(self) -> int:
        """Training batches until each optimizer has taken a step."""
        return self.n_critic

    def on_train_start(self) -> None:
        check_turns(self.trainer, self.n_critic)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        real = symmetric(batch[0])
        discriminator, generator = self.optimizers()  # type: ignore[attr-defined]
        descend(self, discriminator, lambda: self.discriminator_loss(real))
        if is_turn(self.trainer, self.n_critic):
            descend(self, generator, lambda: self.generator_loss(real), counts=True)

    def discriminator_loss(self, real: Tensor) -> Tensor:
        """V(D, E, G) of eq. 3, which the discriminator ascends."""
        with torch.no_grad():
            pairs = self._pairs(real)
        real_scores, fake_scores = self.scores(*pairs)
        loss = self.loss.discriminator(real_scores, fake_scores)
        judged = {"d_real": self.loss.judgement(real_scores).mean(), "d_fake": self.loss.judgement(fake_scores).mean()}
        self.means.add(discriminator_loss=loss, **judged)
        return loss

    def generator_loss(self, real: Tensor) -> Tensor:
        """The discriminator's loss with real and fake exchanged: the inverse objective of section 3.4."""
        real_scores, fake_scores = self.scores(*self._pairs(real))
        loss = self.loss.discriminator(fake_scores, real_scores)
        self.means.add(generator_loss=loss)
        return loss

    def _pairs(self, real: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        z = self.noise(real)
        return (real, check_code(self.encoder(real), self.latent_dim)), (self.generator(z), z)

    def scores(self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What the discriminator says of real pairs (image, code), and of made ones."""
        return self.discriminator(*real), self.discriminator(*fake)

    def noise(self, real: Tensor) -> Tensor:
        """z ~ N(0, I), one for each real image."""
        return torch.randn(len(real), self.latent_dim, device=self.device)

    def configure_optimizers(self) -> list[Optimizer]:
        return [
            player(self, "discriminator", self.discriminator_optimizer, self.discriminator),
            player(self, "generator", self.generator_optimizer, self.generator, self.encoder),
        ]

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]

    # --- what is made, and how it is judged

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, "val/mse", "test/mse"]

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] for latents z (B, latent_dim)."""
        return unit(self.generator(z))

    def features(self, images: Tensor) -> Tensor:
        """E(x), (B, latent_dim), for images in [0, 1]."""
        return self.encoder(symmetric(images))

    def reconstruct(self, images: Tensor) -> Tensor:
        """G(E(x)), in [0, 1]."""
        return self.decode(self.features(images))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        log_error(self, "val", batch[0])

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        log_error(self, "test", batch[0])
