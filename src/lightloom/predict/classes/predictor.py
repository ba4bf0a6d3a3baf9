"""Images to the probabilities of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightloom.modules.protocols import classifies
from lightloom.predict.contract import Request
from lightloom.predict.images import READING, are_images, fitted


class Predictor:
    """The classes that a classifier was trained on. See `lightloom.predict.contract`."""

    ways = READING
    needs = "predict_step, of images"
    lacks = "classifies nothing"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.data = module, data

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return classifies(module) and are_images(request.data)

    @torch.inference_mode()
    def predict(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """Probabilities (B, num_classes) of images (B, C, H, W) in [0, 1] or uint8, of any size."""
        return self.module.predict_step((fitted(inputs, self.data, self.module.device),), 0).cpu()
