"""Images to their labels, or to numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lightloom.exporting.contract import Graph, batch_shape


class Targets(Graph):
    """Images (B, C, H, W) to probabilities of labels, or to numbers in units of the data, (B, num_targets)."""

    use, needs = "estimate", "estimate, of images"
    input, outputs = "images", ("estimates",)
    facts = ("kind", "classes", "channels", "image_size", "num_classes")

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return hasattr(module, "estimate") and batch_shape(module, data) is not None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.module.estimate(images),)
