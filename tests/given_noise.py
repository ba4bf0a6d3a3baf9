"""A GAN whose noise is a function of the images, so that it does not depend on how many processes share a batch."""

import torch
from torch import Tensor

from lightlab.keys import content_keys, normals
from lightlab.modules.gan import GAN


class GivenNoise(GAN):
    def noise(self, real: Tensor) -> Tensor:
        return normals(content_keys((real + 1) / 2, self.trainer.global_step), self.latent_dim).to(torch.float32)


class NotedNoise(GAN):
    """Keeps what it drew last beside the run's log."""

    def noise(self, real: Tensor) -> Tensor:
        z = super().noise(real)
        torch.save(z, f"{self.trainer.default_root_dir}/noise-{self.global_rank}.pt")
        return z
