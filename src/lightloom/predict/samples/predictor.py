"""Latents to images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightloom.modules.protocols import Detects, Generates, GeneratesByClass
from lightloom.modules.standing_statistics import measure_norms
from lightloom.predict.contract import Request
from lightloom.predict.images import are_images

STANDING = 16  # batches that measure batch norms for latents that are truncated (Brock et al. 2019, appendix C)
WAYS = {"num_samples": "num_samples=<how many> for new images"}


class Predictor:
    """New images of a generative model. See `lightloom.predict.contract`."""

    ways = WAYS
    needs = "decode and latent_dim, to images"
    lacks = "makes no new images"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.latent_dim = module, int(module.latent_dim)
        self.by_class = isinstance(module, GeneratesByClass)

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return isinstance(module, Generates) and not isinstance(module, Detects) and are_images(request.data)

    def truncate(self, truncation: float) -> None:
        """Have batch norms measured on the latents that come: the share `truncation` of the normal distribution."""
        if truncation != 1 and isinstance(getattr(self.module, "generator", None), nn.Module):
            measure_norms(self.module, STANDING, truncation=truncation)

    @torch.inference_mode()
    def predict(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of latents (B, latent_dim), and of labels (B,) where `by_class` holds."""
        return self.module.decode(*(x.to(self.module.device) for x in (inputs, *labels))).cpu()
