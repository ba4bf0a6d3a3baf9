"""Texts with masks to the words that may stand there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from lightloom.core.errors import UserError
from lightloom.data.text.datamodule import as_batch
from lightloom.data.vocabulary import kept_in
from lightloom.predict.contract import Request

MASK, SHOWN = "<mask>", 5  # as it is typed, and how many words are told
Word = tuple[str, float]


class Predictor:
    """The likeliest words at each `<mask>`. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {"text": 'text="a text with a <mask>"'}
    verbatim = ("text",)
    needs = "fill, of ids"
    lacks = "fills in no words"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.tokens, self.max_length = module, kept_in(data), int(data["max_length"])

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "fill") and request.data.get("kind") == "text"

    def predict(self, inputs: Sequence[str]) -> list[list[list[Word]]]:
        """Of each text, of each of its masks, the likeliest words with their probabilities."""
        rows = [self.ids(text) for text in inputs]
        probabilities, places = self.module.fill(as_batch(rows).to(self.module.device)).cpu().topk(SHOWN)
        words = (
            [(self.tokens.decode([i]), value) for i, value in zip(*row, strict=True)]
            for row in zip(places.tolist(), probabilities.tolist(), strict=True)
        )
        return [list(islice(words, row.count(len(self.tokens)))) for row in rows]

    def ids(self, text: str) -> list[int]:
        """Of what is between the masks the ids, and of a mask the one after all; UserError where there is none."""
        first, *others = map(self.tokens.encode, text.split(MASK))
        found = first + [i for other in others for i in (len(self.tokens), *other)]
        if len(self.tokens) not in found[: self.max_length]:
            raise UserError(f'text={text}: has no {MASK}; write it for a word, as in text="a {MASK} film".')
        return found[: self.max_length]
