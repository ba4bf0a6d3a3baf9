"""Generative adversarial networks: one loop for the whole family.

Goodfellow et al. 2014, Generative Adversarial Nets, Algorithm 1; Arjovsky et al. 2017, Wasserstein GAN, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightloom.core.ranges import Count, Positive, checked
from lightloom.losses.adversarial import AdversarialLoss
from lightloom.losses.lipschitz import Constraint, Penalty
from lightloom.losses.orthogonal import GeneratorPenalty
from lightloom.modules.adversarial import (
    REMEDY,
    by_parts,
    check_constraint,
    check_critic,
    check_turns,
    is_turn,
    symmetric,
    unit,
)
from lightloom.modules.freezing import freezing
from lightloom.modules.manual_optimization import descend, player
from lightloom.modules.training_means import TrainingMeans
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory


class GAN(pl.LightningModule):
    """`n_critic` discriminator steps, each on a fresh batch, then one generator step.

    generator: z (B, latent_dim) to images in [-1, 1]. discriminator: such images to scores (B,). The members of the
    family differ in `loss`, in a `penalty` added to the discriminator's loss, and in a `constraint` on its weights.
    A penalty that states `every` n is taken at every n-th step of the discriminator, times n (Karras et al. 2020,
    appendix B). generator_penalty: added to the generator's loss. augment: images to images, of all that the
    discriminator sees in training, real and generated. gradient_clip_val: largest norm of a player's gradient.
    accumulation: parts that a batch is taken in, one after the other, for one step; batch norm is by part.
    """

    measures: ClassVar[tuple[str, ...]] = ("d_real", "d_fake")  # besides both players' loss and gradient

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
        generator_penalty: GeneratorPenalty | None = None,
        augment: nn.Module | None = None,
        accumulation: Count = 1,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        check_critic(discriminator, penalized=penalty is not None)
        check_constraint(discriminator, constrained=constraint is not None)
        self.generator, self.discriminator, self.loss = generator, discriminator, loss
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.n_critic, self.penalty, self.constraint = n_critic, penalty, constraint
        self.generator_penalty, self.augment, self.accumulation = generator_penalty, augment, accumulation
        self.gradient_clip_val = gradient_clip_val
        self.latent_dim: int = generator.latent_dim  # type: ignore[assignment]
        players = ("discriminator", "generator")
        measured = [f"{player}_{what}" for what in ("loss", "grad_norm") for player in players]
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.means = TrainingMeans(*measured, *self.measures, remedy=REMEDY)

    @property
    def batches_per_step(self) -> int:
        """Training batches until each optimizer has taken a step."""
        return self.n_critic

    def on_train_start(self) -> None:
        check_turns(self.trainer, self.n_critic)

    def inputs(self, batch: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the losses take of a batch: images in [-1, 1], and what both networks are told besides."""
        return (symmetric(batch[0]),)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs = self.inputs(batch)
        discriminator, generator = self.optimizers()  # type: ignore[attr-defined]
        descend(self, discriminator, *by_parts(self.discriminator_loss, inputs, self.accumulation))
        if self.constraint is not None:
            self.constraint(self.discriminator)
        if is_turn(self.trainer, self.n_critic):
            descend(self, generator, *by_parts(self.generator_loss, inputs, self.accumulation), counts=True)

    def discriminator_loss(self, real: Tensor, *condition: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self.generator(self.noise(real), *condition)
        real_scores, fake_scores = self.score(real, *condition), self.score(fake, *condition)
        loss = self.loss.discriminator(real_scores, fake_scores) + self.penalized(real, fake, *condition)
        self.means.add(discriminator_loss=loss, **self.judgements(real_scores, fake_scores))
        return loss

    def penalized(self, real: Tensor, fake: Tensor, *condition: Tensor) -> Tensor | float:
        """The penalty on the discriminator, a scalar; 0 where there is none, or none is due."""
        if self.penalty is None or not self._is_due(every := getattr(self.penalty, "every", 1)):
            return 0.0
        return every * self.penalty(lambda images: self.score(images, *condition), real, fake)

    def judgements(self, real_scores: Tensor, fake_scores: Tensor) -> dict[str, Tensor]:
        """The means of what the discriminator thinks of real and of generated images, from its scores (B,) of each."""
        return {"d_real": self.loss.judgement(real_scores).mean(), "d_fake": self.loss.judgement(fake_scores).mean()}

    def generator_loss(self, real: Tensor, *condition: Tensor) -> Tensor:
        loss = self.loss.generator(self.score(self.generator(self.noise(real), *condition), *condition))
        if self.generator_penalty is not None:
            loss = loss + self.generator_penalty(self.generator)
        self.means.add(generator_loss=loss)
        return loss

    def score(self, images: Tensor, *condition: Tensor) -> Tensor:
        """The discriminator's scores (B,) of images in [-1, 1], in training of augmented ones."""
        scores: Tensor = self.discriminator(self.seen(images), *condition)
        return scores

    def seen(self, images: Tensor) -> Tensor:
        """The images (B, C, H, W) as the discriminator sees them: in training augmented."""
        return self.augment(images) if self.augment is not None and self.training else images

    def _is_due(self, every: int) -> bool:
        return every == 1 or is_turn(self.trainer, every)

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
        self._judge("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._judge("test", batch)

    def _judge(self, stage: str, batch: Sequence[Tensor]) -> None:
        """What the discriminator thinks of real images it was not trained on."""
        judged = self.loss.judgement(self.score(*self.inputs(batch))).mean()
        self.log(f"{stage}/d_real", judged, on_step=False, on_epoch=True, batch_size=len(batch[0]), sync_dist=True)
