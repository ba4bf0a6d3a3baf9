"""Images to the class of each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor

from lightloom.exporting.contract import Graph


class Segmentation(Graph):
    """Images (B, C, H, W), of any size, to logits (B, num_classes, H, W) and masks int64 (B, H, W)."""

    use, needs = "segment", "segment, of images"
    input, outputs = "images", ("logits", "masks")
    facts = ("kind", "classes", "channels", "image_size")
    traced = True  # how much a picture is padded by hangs on its size, which torch.export cannot say of all sizes

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return hasattr(module, "segment") and data.get("kind") == "segmentation"

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        size = int(data["height"]), int(data["width"])
        return cls(module, ("batch", int(data["channels"]), "height", "width"), (2, *size))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = self.module(images)
        return logits, logits.argmax(1)

    def real(self, batch: Any) -> list[Tensor]:
        """Each image of a batch of evaluation, alone, for they may have several sizes."""
        return [image[None] for image in batch[0]]

    def sizes(self) -> list[tuple[int, ...]]:
        """One image, and sides that no halving divides."""
        _, height, width = self.example
        return [(1, height, width), (3, height + 13, width - 7), (1, 2 * height + 1, width)]
