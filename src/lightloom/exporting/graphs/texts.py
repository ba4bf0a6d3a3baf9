"""Ids of texts to their classes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from lightloom.exporting.contract import Graph
from lightloom.modules.protocols import classifies


class TextClassification(Graph):
    """Ids (B, T) of texts, 0 after the end of each, to logits and probabilities, (B, num_classes) each.

    `vocabulary` in the file's facts says which word has which id.
    """

    use, needs = "classify_texts", "predict_step, of texts"
    input, meaning = "ids", "int64, 0 after a text's last"
    outputs: tuple[str, ...] = ("logits", "probabilities")
    facts: tuple[str, ...] = ("kind", "classes", "num_classes", "max_length", "vocabulary")
    traced = True  # torch.export unrolls a recurrent network, for one length only
    refused: Mapping[str, str] = MappingProxyType(
        {"torch_export": "it holds texts of one length only; use format=onnx"}
    )

    def __init__(
        self, module: Any, shape: tuple[int | str, ...], example: tuple[int, ...], vocab_size: int = 2
    ) -> None:
        super().__init__(module, shape, example)
        self.vocab_size = vocab_size

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return classifies(module) and data.get("kind") == "text"

    @classmethod
    def of(cls, module: Any, data: Mapping[str, Any]) -> Self:
        return cls(module, ("batch", "length"), (2, 16), int(data["vocab_size"]))

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        logits = self.module(ids)
        return logits, logits.softmax(1)

    def draw(self, seed: int, sizes: tuple[int, ...]) -> Tensor:
        """Ids of random words, of texts that end at different places."""
        generator = torch.Generator().manual_seed(seed)
        count, length = sizes
        ids = torch.randint(1, max(self.vocab_size, 2), (count, length), generator=generator)
        ends = torch.randint(1, length + 1, (count, 1), generator=generator)
        return ids * (torch.arange(length) < ends)

    def sizes(self) -> list[tuple[int, ...]]:
        """One text, and lengths that are no multiple of anything."""
        return [(1, 8), (3, 23), (5, 3)]
