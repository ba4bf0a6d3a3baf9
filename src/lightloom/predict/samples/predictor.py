"""Latents to images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightloom.modules.protocols import Detects, Generates
from lightloom.predict.contract import Request
from lightloom.predict.images import are_images

WAYS = {"num_samples": "num_samples=<how many> for new images"}


class Predictor:
    """New images of a generative model. See `lightloom.predict.contract`."""

    ways = WAYS
    needs = "decode and latent_dim, to images"
    lacks = "makes no new images"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.latent_dim = module, int(module.latent_dim)

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return isinstance(module, Generates) and not isinstance(module, Detects) and are_images(request.data)

    @torch.inference_mode()
    def predict(self, inputs: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of latents (B, latent_dim)."""
        return self.module.decode(inputs.to(self.module.device)).cpu()
