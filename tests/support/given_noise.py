"""Algorithms whose noise is a function of the images: it does not depend on how many processes share a batch."""

from unittest.mock import patch

import torch
from torch import Tensor

from lightloom.modules.bigan import BiGAN
from lightloom.modules.conditional_gan import ConditionalGAN
from lightloom.modules.gan import GAN
from lightloom.modules.vae import VAE
from lightloom.modules.vae_gan import VAEGAN
from lightloom.ops.rng import content_keys, normals, uniforms


class GivenNoise(GAN):
    def noise(self, real: Tensor) -> Tensor:
        return normals(content_keys((real + 1) / 2, self.trainer.global_step), self.latent_dim).to(torch.float32)


class NotedNoise(GAN):
    """Keeps what it drew last beside the run's log."""

    def noise(self, real: Tensor) -> Tensor:
        z = super().noise(real)
        torch.save(z, f"{self.trainer.default_root_dir}/noise-{self.global_rank}.pt")
        return z


class GivenConditional(ConditionalGAN):
    noise = GivenNoise.noise


class GivenBiGAN(BiGAN):
    noise = GivenNoise.noise


class GivenVAEGAN(VAEGAN):
    noise = GivenNoise.noise


class GivenVAE(VAE):
    """Both the latents' noise and the binarisation of the images."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        keys = content_keys(batch[0], self.trainer.global_step)

        def normal(x: Tensor) -> Tensor:
            return normals(keys, x[0].numel()).view_as(x).to(x.dtype)

        def uniform(x: Tensor) -> Tensor:
            return uniforms(keys, x[0].numel()).view_as(x).to(x.dtype)

        with patch("torch.randn_like", normal), patch("torch.rand_like", uniform):
            return super().training_step(batch, batch_idx)
