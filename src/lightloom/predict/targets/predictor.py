"""Images to their labels, or to numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightloom.predict.contract import Request
from lightloom.predict.images import READING, fitted


class Predictor:
    """The labels or numbers that a model was trained on. See `lightloom.predict.contract`."""

    ways = READING
    needs = "estimate, of images"
    lacks = "tells no labels and no numbers"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.data = module, data
        self.names = [str(name) for name in data["classes"]]

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "estimate") and request.data.get("kind") in ("image_tags", "image_values")

    @torch.inference_mode()
    def predict(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        """(B, names), probabilities of labels or numbers, of images (B, C, H, W) in [0, 1] or uint8, of any size."""
        return self.module.estimate(fitted(inputs, self.data, self.module.device)).cpu()

    def tags(self, found: Tensor) -> list[str] | None:
        """The labels of each image whose probability reaches their threshold; None where there are numbers."""
        if (thresholds := getattr(self.module, "thresholds", None)) is None:
            return None
        reached = (found >= thresholds.cpu()).tolist()
        return ["|".join(name for name, has in zip(self.names, row, strict=True) if has) for row in reached]
