"""VAE+GAN: a VAE whose reconstructions are compared in a layer of a discriminator instead of pixel by pixel.

Larsen, Sonderby, Larochelle & Winther 2016, Autoencoding beyond pixels using a learned similarity metric, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Optimizer

from lightloom.core.ranges import NotNegative, Positive, checked
from lightloom.losses.adversarial import NonSaturating
from lightloom.losses.likelihoods import kl_divergence
from lightloom.modules.adversarial import REMEDY, log_error, symmetric, unit
from lightloom.modules.freezing import freezing
from lightloom.modules.latents import moments
from lightloom.modules.manual_optimization import descend, player
from lightloom.modules.training_means import TrainingMeans
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory

PLAYERS = ("encoder", "decoder", "discriminator")


class VAEGAN(pl.LightningModule):
    """Encoder, decoder and discriminator, each with its loss: KL, likelihood in a discriminator's layer, adversarial.

    Algorithm 1, but that the three step one after the other, each with draws of its own, and that the decoder's
    adversarial loss is the non-saturating one, as Goodfellow et al. 2014 advise.

    encoder: images in [-1, 1] to (B, 2 latent_dim), mean and log variance. decoder: z to such images.
    discriminator: such images to scores (B,); its `features` are the layer, Dis_l. gamma: weight of the likelihood
    against the game in the decoder's loss.
    """

    better: ClassVar[dict[str, str]] = {"mse": "min"}

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        discriminator: nn.Module,
        encoder_optimizer: OptimizerFactory,
        decoder_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        gamma: NotNegative = 1e-2,
        gradient_clip_val: Positive | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator
        self.factories = (encoder_optimizer, decoder_optimizer, discriminator_optimizer)
        self.gamma, self.gradient_clip_val, self.game = gamma, gradient_clip_val, NonSaturating()
        self.latent_dim: int = decoder.latent_dim  # type: ignore[assignment]
        measured = [f"{player}_{what}" for what in ("loss", "grad_norm") for player in PLAYERS]
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.means = TrainingMeans(*measured, "kl", "similarity", "d_real", "d_fake", remedy=REMEDY)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = symmetric(batch[0])
        encoder, decoder, discriminator = self.optimizers()  # type: ignore[attr-defined]
        descend(self, discriminator, lambda: self.discriminator_loss(x))
        descend(self, encoder, lambda: self.encoder_loss(x))
        descend(self, decoder, lambda: self.decoder_loss(x), counts=True)

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """-L_GAN: real images against reconstructions and against samples of the prior, one term each."""
        with torch.no_grad():
            x_tilde, x_p = self.decoder(self._posterior(x)[0]), self.decoder(self.noise(x))
        real, tilde, p = self.discriminator(x), self.discriminator(x_tilde), self.discriminator(x_p)
        loss = self.game.discriminator(real, tilde) + softplus(p).mean()
        self.means.add(discriminator_loss=loss, d_real=real.sigmoid().mean(), d_fake=p.sigmoid().mean())
        return loss

    def encoder_loss(self, x: Tensor) -> Tensor:
        """L_prior + L_llike."""
        z, kl = self._posterior(x)
        dissimilarity = self._dissimilarity(x, self.decoder(z))
        loss = kl + dissimilarity
        self.means.add(encoder_loss=loss, kl=kl, similarity=dissimilarity)
        return loss

    def decoder_loss(self, x: Tensor) -> Tensor:
        """gamma L_llike - L_GAN, the game in its non-saturating form."""
        with torch.no_grad():
            z = self._posterior(x)[0]
        x_tilde, x_p = self.decoder(z), self.decoder(self.noise(x))
        game = self.game.generator(self.discriminator(x_tilde)) + self.game.generator(self.discriminator(x_p))
        loss = self.gamma * self._dissimilarity(x, x_tilde) + game
        self.means.add(decoder_loss=loss)
        return loss

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A draw z (B, latent_dim) of q(z|x), and KL(q || p) in nats, the batch's mean."""
        mu, log_var = moments(self.encoder(x), self.latent_dim)
        z = mu + (log_var / 2).exp() * self.noise(x)
        return z, kl_divergence(mu, log_var).mean()

    def _dissimilarity(self, x: Tensor, x_tilde: Tensor) -> Tensor:
        """-log p(Dis_l(x) | z) of a unit Gaussian around Dis_l(x_tilde), without its constant: eqs. 7 and 8."""
        with torch.no_grad():
            wanted = self.discriminator.features(x)  # type: ignore[operator]
        found = self.discriminator.features(x_tilde)  # type: ignore[operator]
        return (found - wanted).square().flatten(1).sum(1).mean() / 2

    def noise(self, x: Tensor) -> Tensor:
        """N(0, I) of one latent for each image of the batch."""
        return torch.randn(len(x), self.latent_dim, device=self.device)

    def configure_optimizers(self) -> list[Optimizer]:
        networks = (self.encoder, self.decoder, self.discriminator)
        return [player(self, *of) for of in zip(PLAYERS, self.factories, networks, strict=True)]

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]

    # --- what is made, and how it is judged

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, "val/mse", "test/mse"]

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] for latents z (B, latent_dim)."""
        return unit(self.decoder(z))

    def features(self, images: Tensor) -> Tensor:
        """The posterior's mean, (B, latent_dim), for images in [0, 1]."""
        return self.encoder(symmetric(images)).chunk(2, dim=1)[0]

    def reconstruct(self, images: Tensor) -> Tensor:
        """The decoded posterior mean, in [0, 1]."""
        return self.decode(self.features(images))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        log_error(self, "val", batch[0])

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        log_error(self, "test", batch[0])
