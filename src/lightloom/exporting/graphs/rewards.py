"""Ids of prompts with answers to how good these are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightloom.exporting.graphs.language import Continuation


class Scoring(Continuation):
    """Ids (B, T) of prompt, answer and its end, 0 from there on, T at most block_size, to scores (B,).

    `vocabulary` in the file's facts says which part of a text has which id.
    """

    use, needs = "score", "scores, of pairs of answers"
    outputs = ("scores",)

    @classmethod
    def accepts(cls, module: Any, data: Mapping[str, Any]) -> bool:
        return hasattr(module, "scores") and "block_size" in data
