"""Log-likelihoods of images under a decoder's output, and the KL divergence from the prior; all in nats.

The functions are summed over the dimensions of one image. A likelihood object says what a decoder's output means.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lightloom.core.parts import part
from lightloom.core.ranges import Positive, checked
from lightloom.ops.rng import content_keys, uniforms

PIXELS = 1  # the seed by which an image's content decides its pixels


def kl_divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, exp(log_var)) || N(0, I)) in nats, per image.

    mu, log_var: (B, Z). Returns (B,).  Kingma & Welling 2014, appendix B.
    """
    return (mu.square() + log_var.exp() - 1 - log_var).sum(1) / 2


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of independent pixels that are 1 with probability sigmoid(logits).

    logits, x: (B, ...), x in {0, 1}. Returns (B,).  Kingma & Welling 2014, appendix C.1.
    """
    return -binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gaussian_log_likelihood(mean: Tensor, log_var: Tensor, x: Tensor) -> Tensor:
    """log p(x), a density, of independent values N(mean, exp(log_var)).

    mean, x: (B, ...); log_var: the same, or what broadcasts to it. Returns (B,).  Kingma & Welling 2014, appendix C.2.
    """
    squares = (x - mean).square() * (-log_var).exp()
    return -(squares + log_var + math.log(2 * math.pi)).flatten(1).sum(1) / 2


class Likelihood(Protocol):
    """What a decoder's output, unactivated (B, C, H, W), says about images of the same shape in [0, 1]."""

    def target(self, images: Tensor, keys: Tensor | None = None) -> Tensor:
        """What the model is to explain. keys: one per image, if its randomness is to be a function of them."""
        ...

    def log_likelihood(self, output: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) of a target, per image (B,)."""
        ...

    def mean(self, output: Tensor) -> Tensor:
        """The expected image, in [0, 1]."""
        ...


@part
class Bernoulli:
    """Black and white pixels, drawn anew whenever an image is seen: a grey value is the probability of a white one.

    Salakhutdinov & Murray 2008, section 5; the output is logits.
    """

    def target(self, images: Tensor, keys: Tensor | None = None) -> Tensor:
        noise = torch.rand_like(images) if keys is None else uniforms(keys, images[0].numel()).view_as(images)
        return (noise < images).to(images.dtype)

    def log_likelihood(self, output: Tensor, x: Tensor) -> Tensor:
        return bernoulli_log_likelihood(output, x)

    def mean(self, output: Tensor) -> Tensor:
        return output.sigmoid()


@part
class StaticBernoulli(Bernoulli):
    """Black and white pixels, drawn once for each image, by its content; else as Bernoulli.

    Larochelle & Murray 2011, The Neural Autoregressive Distribution Estimator, whose own draw of MNIST is another.
    """

    def target(self, images: Tensor, keys: Tensor | None = None) -> Tensor:
        return super().target(images, content_keys(images, PIXELS))


@part
class Gaussian:
    """Grey values with the noise N(0, scale^2) around the output. A density: its logarithm may be positive."""

    @checked
    def __init__(self, scale: Positive) -> None:
        self.log_var = 2 * math.log(scale)

    def target(self, images: Tensor, keys: Tensor | None = None) -> Tensor:
        return images

    def log_likelihood(self, output: Tensor, x: Tensor) -> Tensor:
        return gaussian_log_likelihood(output, output.new_full((), self.log_var), x)

    def mean(self, output: Tensor) -> Tensor:
        return output.clamp(0, 1)
