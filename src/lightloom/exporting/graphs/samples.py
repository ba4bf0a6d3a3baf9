"""Latents to images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from lightloom.exporting.contract import Graph
from lightloom.modules.protocols import Detects, Generates, GeneratesByClass
from lightloom.ops.rng import latents


class Generation(Graph):
    """Latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""

    use, needs = "sample", "decode and latent_dim"
    input, meaning, outputs = "latents", "float32, N(0, 1)", ("images",)
    of_data = False

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        known = isinstance(module, Generates) and not isinstance(module, Detects)
        return known and isinstance(module, GeneratesByClass) == bool(cls.labels)

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        return cls(module, ("batch", module.latent_dim))

    def forward(self, latents: Tensor) -> tuple[Tensor, ...]:
        return (self.module.decode(latents),)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        return latents(seed, sizes[0], self.module.latent_dim)


class GenerationByClass(Generation):
    """Latents (B, latent_dim) and labels, int64 (B,) from 0, to images (B, C, H, W) in [0, 1]."""

    labels = ("labels",)

    def forward(self, latents: Tensor, labels: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return (self.module.decode(latents, labels),)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:  # type: ignore[override]
        return super().draw(seed, sizes), torch.arange(sizes[0]) % self.module.num_classes
