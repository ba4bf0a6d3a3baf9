"""Images to their reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightloom.modules.protocols import Detects, Reconstructs, classifies
from lightloom.predict.contract import Request
from lightloom.predict.images import READING, are_images, fitted


class Predictor:
    """What an autoencoder makes of images. See `lightloom.predict.contract`."""

    ways = READING
    needs = "reconstruct, of images"
    lacks = "reconstructs nothing"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.data = module, data

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        other = classifies(module) or isinstance(module, Detects)
        return isinstance(module, Reconstructs) and not other and are_images(request.data)

    @torch.inference_mode()
    def predict(self, inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in [0, 1] or uint8, of any size, as the module saw them, and again: in [0, 1] both."""
        seen = fitted(inputs, self.data, self.module.device)
        return seen.cpu(), self.module.reconstruct(seen).cpu()
