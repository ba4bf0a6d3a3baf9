"""Adversarial objectives: what the discriminator and what the generator minimises.

Each takes the discriminator's scores (unnormalised, (B,)) of real and of fake images and returns the batch's mean, a
scalar. `judgement` is what a score means: a probability of being real, or the score itself.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torch.nn.functional import relu, softplus

from lightloom.core.parts import part


class AdversarialLoss(Protocol):
    """A two-player objective."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a scalar, from its scores (B,) of real and of generated samples."""
        ...

    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss, a scalar, from the discriminator's scores (B,) of generated samples."""
        ...

    def judgement(self, scores: Tensor) -> Tensor:
        """What scores (B,) mean, elementwise: probabilities of being real, or the scores themselves."""
        ...


@part
class NonSaturating:
    """-log D(x) - log(1 - D(G(z))) against -log D(G(z)), in nats.  Goodfellow et al. 2014, section 3."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        return softplus(-fake).mean()

    def judgement(self, scores: Tensor) -> Tensor:
        return scores.sigmoid()


class Minimax(NonSaturating):
    """As NonSaturating, but the generator minimises log(1 - D(G(z))).  Goodfellow et al. 2014, eq. 1."""

    def generator(self, fake: Tensor) -> Tensor:
        return -softplus(fake).mean()


@part
class LeastSquares:
    """(D(x) - 1)^2 / 2 + D(G(z))^2 / 2 against (D(G(z)) - 1)^2 / 2.  Mao et al. 2017, eq. 9."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(self, fake: Tensor) -> Tensor:
        return (fake - 1).square().mean() / 2

    def judgement(self, scores: Tensor) -> Tensor:
        return scores


@part
class Wasserstein:
    """f(G(z)) - f(x) against -f(G(z)), for a 1-Lipschitz critic f.  Arjovsky et al. 2017, eqs. 2 and 3."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def judgement(self, scores: Tensor) -> Tensor:
        return scores


class Hinge(Wasserstein):
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) against -D(G(z)).  Lim & Ye 2017, section 3."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()
