"""Ids of a text and of its translation so far to what may come next."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from lightloom.exporting.contract import Graph, Shape

FIRST = 2  # of the ids that are drawn: those below stand for nothing


class NextOfTranslation(Graph):
    """Ids (B, 2, T), T at most max_length: of a text, with 3 behind it, and of what is written of its translation, with
    2 before it, each with 0 behind, to logits (B, T, vocab_size) of the id after each of the latter.

    `vocabulary` in the file's facts says which part of a text has which id.
    """

    use, needs = "translate", "translate, of ids"
    input, outputs, meaning = "ids", ("logits",), "int64, places in the vocabulary: of a text, and of its translation"
    facts = ("kind", "vocab_size", "max_length", "source", "target", "vocabulary")
    traced = True  # as of language models
    of_data = False
    refused = MappingProxyType({"torch_export": "it holds texts of one length only; use format=onnx"})

    def __init__(self, module: Any, shape: Shape, example: tuple[int, ...], vocab_size: int = FIRST + 1) -> None:
        super().__init__(module, shape, example)
        self.vocab_size = vocab_size

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return hasattr(module, "translate") and data.get("kind") == "translation"

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        return cls(module, ("batch", 2, "length"), (2, int(data["max_length"])), int(data["vocab_size"]))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        return (self.module(ids[:, 0], ids[:, 1]),)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        """Random ids."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(FIRST, self.vocab_size, self.filled(sizes), generator=generator)

    def sizes(self) -> list[tuple[int, ...]]:
        """One text of all places, one id, and a length that nothing divides."""
        longest = self.example[1]
        return [(1, longest), (2, 1), (3, max(longest * 2 // 3, 1))]
