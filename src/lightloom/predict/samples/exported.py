"""A generative model that was exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lightloom.predict.exported import Exported


class Generator(Exported):
    """Images (B, C, H, W) of latents (B, latent_dim)."""

    use = "sample"

    def __init__(self, session: Any, about: Mapping[str, Any]) -> None:
        super().__init__(session, about)
        self.latent_dim = int(self.shape[-1])

    def decode(self, z: Tensor) -> Tensor:
        return self.answers(z)["images"]
