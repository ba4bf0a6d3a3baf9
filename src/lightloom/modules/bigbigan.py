"""BigBiGAN: a bidirectional GAN that judges image, latent and pair.

Donahue & Simonyan 2019, Large Scale Adversarial Representation Learning.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightloom.modules.adversarial import symmetric
from lightloom.modules.bigan import BiGAN
from lightloom.modules.latents import moments


class BigBiGAN(BiGAN):
    """As BiGAN, with three scores of a pair and an encoder that draws.

    encoder: images to (B, 2 latent_dim), mean and log variance. discriminator: images and latents to (B, 3), the scores
    s_x, s_z and s_xz. The discriminator's loss is summed over the scores (hinged, with losses.adversarial.Hinge); the
    encoder and the generator descend the sum of the scores themselves.
    """

    def discriminator_loss(self, real: Tensor) -> Tensor:
        """l_D of section 2, its mean over the batch."""
        with torch.no_grad():
            pairs = self._pairs(real)
        of_real, of_fake = self.scores(*pairs)
        terms = zip(of_real.unbind(1), of_fake.unbind(1), strict=True)
        loss = torch.stack([self.loss.discriminator(*term) for term in terms]).sum()
        d_real, d_fake = (self.loss.judgement(scores[:, 2]).mean() for scores in (of_real, of_fake))
        self.means.add(discriminator_loss=loss, d_real=d_real, d_fake=d_fake)
        return loss

    def generator_loss(self, real: Tensor) -> Tensor:
        """l_EG of section 2: y (s_x + s_z + s_xz) with y = 1 for (x, E(x)) and -1 for (G(z), z)."""
        of_real, of_fake = self.scores(*self._pairs(real))
        loss = of_real.sum(1).mean() - of_fake.sum(1).mean()
        self.means.add(generator_loss=loss)
        return loss

    def _pairs(self, real: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        z, eps = self.noise(real), self.noise(real)
        mu, log_var = moments(self.encoder(real), self.latent_dim)
        return (real, mu + (log_var / 2).exp() * eps), (self.generator(z), z)

    def features(self, images: Tensor) -> Tensor:
        """The mean of E(x), (B, latent_dim), for images in [0, 1]."""
        return moments(self.encoder(symmetric(images)), self.latent_dim)[0]
