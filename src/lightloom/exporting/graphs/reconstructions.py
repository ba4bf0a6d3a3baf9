"""Images, or signals, to their reconstructions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lightloom.exporting.contract import Graph, batch_shape
from lightloom.modules.protocols import Detects, Reconstructs, classifies


class Reconstruction(Graph):
    """Images, or signals, to their reconstructions, of the same shape."""

    use, needs = "reconstruct", "reconstruct"
    input, outputs = "images", ("reconstructions",)
    facts = ("kind", "classes", "channels", "image_size")

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        other = classifies(module) or isinstance(module, Detects)
        return isinstance(module, Reconstructs) and not other and batch_shape(module, data) is not None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.module.reconstruct(images),)
