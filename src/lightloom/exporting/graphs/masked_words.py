"""Ids of texts, some hidden, to what stands at each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lightloom.exporting.graphs.texts import TextClassification


class Filling(TextClassification):
    """Ids (B, T) of texts, 0 after the end of each and `vocab_size` where one is hidden, to logits (B, T, vocab_size).

    `vocabulary` in the file's facts says which word has which id.
    """

    use, needs = "fill", "fill, of ids"
    outputs = ("logits",)
    facts = ("kind", "vocab_size", "max_length", "vocabulary")

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return hasattr(module, "fill") and data.get("kind") == "text"

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        return (self.module(ids),)
