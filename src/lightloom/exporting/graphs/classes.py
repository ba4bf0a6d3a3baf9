"""Images, or signals, to their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lightloom.exporting.contract import Graph, example_of
from lightloom.modules.protocols import classifies
from lightloom.modules.tta import mean_logits


class Classification(Graph):
    """Images (B, C, H, W) to logits and probabilities, (B, num_classes) each, over the views that a test averages."""

    use, needs = "classify", "predict_step and num_classes"
    input, outputs = "images", ("logits", "probabilities")
    facts = ("kind", "classes", "channels", "image_size", "num_classes")

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        example = example_of(module, data) if classifies(module) else None
        return example is not None and example.is_floating_point()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = mean_logits(self.module, images, getattr(self.module, "test_views", "none"))
        return logits, logits.softmax(1)
