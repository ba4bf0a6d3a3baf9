"""Auxiliary classifier GAN: the discriminator is not told the class but says it, of real and of generated images.

Odena, Olah & Shlens 2017, Conditional Image Synthesis with Auxiliary Classifier GANs.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightloom.modules.conditional_gan import ConditionalGAN


class ACGAN(ConditionalGAN):
    """As ConditionalGAN, of discriminator(images) -> scores (B,) and logits of the classes (B, num_classes).

    Both players descend the classes' cross-entropy, in nats, besides their adversarial loss: the discriminator that of
    real and of generated images (train/class_loss), the generator that of its own.  Section 3, eqs. 2 and 3.
    """

    measures: ClassVar[tuple[str, ...]] = (*ConditionalGAN.measures, "class_loss")

    def score(self, images: Tensor, *condition: Tensor) -> Tensor:
        """The scores (B,) of images in [-1, 1], which no class decides."""
        return self.judge(images)[0]

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the discriminator says of images in [-1, 1], in training of augmented ones: scores, and class logits."""
        scores, logits = self.discriminator(self.seen(images))
        return scores, logits

    def discriminator_loss(self, real: Tensor, *condition: Tensor) -> Tensor:
        (labels,) = condition
        with torch.no_grad():
            fake = self.generator(self.noise(real), labels)
        (real_scores, real_logits), (fake_scores, fake_logits) = self.judge(real), self.judge(fake)
        class_loss = cross_entropy(real_logits, labels) + cross_entropy(fake_logits, labels)
        loss = self.loss.discriminator(real_scores, fake_scores) + class_loss + self.penalized(real, fake, *condition)
        self.means.add(discriminator_loss=loss, class_loss=class_loss, **self.judgements(real_scores, fake_scores))
        return loss

    def generator_loss(self, real: Tensor, *condition: Tensor) -> Tensor:
        (labels,) = condition
        scores, logits = self.judge(self.generator(self.noise(real), labels))
        loss = self.loss.generator(scores) + cross_entropy(logits, labels)
        if self.generator_penalty is not None:
            loss = loss + self.generator_penalty(self.generator)
        self.means.add(generator_loss=loss)
        return loss
