"""Texts to their translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightloom.data.text.datamodule import as_batch
from lightloom.data.translation.pairs import closed
from lightloom.data.vocabulary import kept_in
from lightloom.predict.contract import Request

BATCH = 32  # texts at a time


class Predictor:
    """What a translator makes of texts. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {"text": 'text="a text"', "input": "input=<file of lines | folder of .txt files>"}
    verbatim = ("text",)
    needs = "translate, of ids"
    lacks = "translates no texts"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.tokens, self.max_length = module, kept_in(data), int(data["max_length"])

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "translate") and request.data.get("kind") == "translation"

    def predict(
        self, inputs: Sequence[str], beam_width: int | None = None, length_penalty: float | None = None
    ) -> list[str]:
        """The translation of each text, "" of one that has no words. beam_width, length_penalty: as in Translator."""
        ids = [self.tokens.encode(text) for text in inputs]
        order = sorted((i for i in range(len(ids)) if ids[i]), key=lambda i: len(ids[i]))  # those alike together
        found = [""] * len(ids)
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            batch = as_batch([closed(ids[i], self.max_length) for i in chosen]).to(self.module.device)
            for i, one in zip(chosen, self.module.translate(batch, beam_width, length_penalty), strict=True):
                found[i] = self.tokens.decode(one.ids)
        return found

    def longer(self, texts: Sequence[str]) -> int:
        """How many of the texts are not seen to their end."""
        return sum(len(self.tokens.encode(text)) > self.max_length for text in texts)
