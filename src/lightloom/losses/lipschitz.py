"""Regularise a discriminator: penalties added to its loss, constraints on its weights after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from lightloom.core.parts import part
from lightloom.core.ranges import Count, NotNegative, Positive, checked
from lightloom.ops.torch_internals import clamp_

Critic = Callable[[Tensor], Tensor]  # images (B, C, H, W) to scores (B,)


class Penalty(Protocol):
    """A scalar for the discriminator to minimise, besides its loss.

    One with an attribute `every` is asked at every so many of its steps, and weighs as much more there.
    """

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor: ...


class Constraint(Protocol):
    """Called after each step of the discriminator; changes its weights in place."""

    def __call__(self, critic: nn.Module) -> None: ...


@part
class GradientPenalty:
    """weight * (||grad f(x_hat)||_2 - 1)^2, a scalar, x_hat uniform between real and fake (B, C, H, W).

    Gulrajani et al. 2017, eq. 3.
    """

    def __init__(self, weight: NotNegative = 10.0) -> None:
        self.weight = weight

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        eps = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
        norms: Tensor = input_gradient(critic, torch.lerp(fake.to(real.dtype), real, eps)).flatten(1).norm(dim=1)
        return self.weight * (norms - 1).square().mean()


@part
class R1:
    """weight / 2 * ||grad D(x)||_2^2, a scalar, on real images (B, C, H, W).  Mescheder et al. 2018, eq. 9.

    every: steps of the discriminator for one with the penalty (lazily, Karras et al. 2020, appendix B: 16).
    """

    @checked
    def __init__(self, weight: NotNegative = 10.0, every: Count = 1) -> None:
        self.weight, self.every = weight, every

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return self.weight / 2 * input_gradient(critic, real).flatten(1).square().sum(1).mean()


@part
class WeightClipping:
    """Every weight to [-limit, limit].  Arjovsky et al. 2017, Algorithm 1, line 7."""

    @checked
    def __init__(self, limit: Positive = 0.01) -> None:
        self.limit = limit

    @torch.no_grad()
    def __call__(self, critic: nn.Module) -> None:
        clamp_(list(critic.parameters()), -self.limit, self.limit)


def input_gradient(critic: Critic, images: Tensor) -> Tensor:
    """The gradient of each score by its image, differentiable: (B, C, H, W).

    Under float16 autocast in full precision: there small gradients vanish, and no scaler sees these.
    """
    images = images.detach().requires_grad_()
    half = torch.is_autocast_enabled(images.device.type) and torch.get_autocast_dtype(images.device.type) == torch.half
    with torch.autocast(images.device.type, enabled=False) if half else torch.enable_grad():
        (gradient,) = torch.autograd.grad(critic(images.float() if half else images).sum(), images, create_graph=True)
    return gradient
