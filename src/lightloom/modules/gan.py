"""Generative adversarial networks: one loop for the whole family.

Goodfellow et al. 2014, Generative Adversarial Nets, Algorithm 1; Arjovsky et al. 2017, Wasserstein GAN, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightloom.core.ranges import Count, Positive, checked
from lightloom.losses.adversarial import AdversarialLoss
from lightloom.losses.lipschitz import Constraint, Penalty
from lightloom.modules.adversarial import (
    REMEDY,
    check_critic,
    check_turns,
    descend,
    is_generators_turn,
    player,
    symmetric,
    unit,
)
from lightloom.modules.freezing import freezing
from lightloom.modules.training_means import TrainingMeans
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory


class GAN(pl.LightningModule):
    """`n_critic` discriminator steps, each on a fresh batch, then one generator step.

    generator: z (B, latent_dim) to images in [-1, 1]. discriminator: such images to scores (B,). The members of the
    family differ in `loss`, in a `penalty` added to the discriminator's loss, and in a `constraint` on its weights.
    gradient_clip_val: largest norm of a player's gradient.
    """

    @checked
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        n_critic: Count = 1,
        penalty: Penalty | None = None,
        constraint: Constraint | None = None,
        gradient_clip_val: Positive | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        check_critic(discriminator, penalized=penalty is not None)
        self.generator, self.discriminator, self.loss = generator, discriminator, loss
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.n_critic, self.penalty, self.constraint = n_critic, penalty, constraint
        self.gradient_clip_val = gradient_clip_val
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
        if self.constraint is not None:
            self.constraint(self.discriminator)
        if is_generators_turn(self.trainer, self.n_critic):
            descend(self, generator, lambda: self.generator_loss(real), counts=True)

    def discriminator_loss(self, real: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self.generator(self.noise(real))
        real_scores, fake_scores = self.discriminator(real), self.discriminator(fake)
        loss = self.loss.discriminator(real_scores, fake_scores)
        if self.penalty is not None:
            loss = loss + self.penalty(self.discriminator, real, fake)
        judged = {"d_real": self.loss.judgement(real_scores).mean(), "d_fake": self.loss.judgement(fake_scores).mean()}
        self.means.add(discriminator_loss=loss, **judged)
        return loss

    def generator_loss(self, real: Tensor) -> Tensor:
        loss = self.loss.generator(self.discriminator(self.generator(self.noise(real))))
        self.means.add(generator_loss=loss)
        return loss

    def noise(self, real: Tensor) -> Tensor:
        """z ~ N(0, I), one for each real image: others on each process, whose steps are seeded by its rank."""
        return torch.randn(len(real), self.latent_dim, device=self.device)

    def configure_optimizers(self) -> list[Optimizer]:
        return [
            player(self, "discriminator", self.discriminator_optimizer, self.discriminator),
            player(self, "generator", self.generator_optimizer, self.generator),
        ]

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]

    # --- what is made, and how it is judged

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, "val/d_real", "test/d_real"]

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] for latents z (B, latent_dim)."""
        return unit(self.generator(z))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._judge("val", batch[0])

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._judge("test", batch[0])

    def _judge(self, stage: str, images: Tensor) -> None:
        """What the discriminator thinks of real images it was not trained on."""
        judged = self.loss.judgement(self.discriminator(symmetric(images))).mean()
        self.log(f"{stage}/d_real", judged, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
