"""Pictures of texts to logits of symbols; reading them is left to whoever asks the file (docs/reading-captchas.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor

from lightloom.exporting.contract import Graph


class TextRecognition(Graph):
    """Pictures (B, C, height, width) to logits (B, T, num_symbols + 1) of columns or places; symbol 0 is the blank."""

    use, needs = "read", "read, of pictures of text"
    input, outputs = "images", ("logits",)
    facts = ("kind", "alphabet", "channels", "height", "width")
    traced = True  # torch.export takes the number of pictures into an LSTM's state

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return hasattr(module, "read") and data.get("kind") == "text_images"

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        return cls(module, ("batch", int(data["channels"]), int(data["height"]), int(data["width"])))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.module(images),)
