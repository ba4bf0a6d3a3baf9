"""Latents to images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor

from lightloom.exporting.contract import Graph
from lightloom.modules.protocols import Detects, Generates
from lightloom.ops.rng import latents


class Generation(Graph):
    """Latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""

    use, needs = "sample", "decode and latent_dim"
    input, meaning, outputs = "latents", "float32, N(0, 1)", ("images",)
    of_data = False

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return isinstance(module, Generates) and not isinstance(module, Detects)

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        return cls(module, ("batch", module.latent_dim))

    def forward(self, latents: Tensor) -> tuple[Tensor, ...]:
        return (self.module.decode(latents),)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        return latents(seed, sizes[0], self.module.latent_dim)
