"""Ids to what may come after each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from lightloom.exporting.contract import Graph, Shape


class Continuation(Graph):
    """Ids (B, T) of texts, T at most block_size, to logits (B, T, vocab_size) of the id after each.

    `vocabulary` in the file's facts says which part of a text has which id.
    """

    use, needs = "write", "write, of ids"
    input, outputs, meaning = "ids", ("logits",), "int64, places in the vocabulary"
    facts = ("kind", "vocab_size", "block_size", "vocabulary")
    traced = True  # torch.export takes the number of learned positions for a bound that it cannot prove
    refused = MappingProxyType({"torch_export": "it holds texts of one length only; use format=onnx"})

    def __init__(self, module: Any, shape: Shape, example: tuple[int, ...], vocab_size: int = 2) -> None:
        super().__init__(module, shape, example)
        self.vocab_size = vocab_size

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return hasattr(module, "write") and "block_size" in data

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        return cls(module, ("batch", "length"), (2, int(data["block_size"])), int(data["vocab_size"]))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        return (self.module(ids),)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        """Random ids."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(self.vocab_size, sizes, generator=generator)

    def sizes(self) -> list[tuple[int, ...]]:
        """One text of all places, one id, and a length that nothing divides."""
        longest = self.example[1]
        return [(1, longest), (2, 1), (3, max(longest * 2 // 3, 1))]
