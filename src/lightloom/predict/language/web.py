"""A language model over a network: a text, and what it writes after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lightloom.core.errors import UserError
from lightloom.predict.web import Alone, Answers, Field, Number, Predict, Refused, Stream, Takes

MOST = 20_000  # characters
Prompt = tuple[str, int]  # and the seed


class Web:
    """See `lightloom.predict.web`."""

    use = "write"
    title: Mapping[str, str] = MappingProxyType({"en": "Write on", "zh": "续写文本"})
    takes: Takes = "text"
    streams = False
    fields: Sequence[Field] = (Number("seed", {"en": "seed", "zh": "随机种子"}, 0, 9999, 1, 0),)

    def __init__(self, facts: Mapping[str, Any]) -> None:
        if "input" in facts:
            raise UserError(
                "An exported language model gives logits, and writes nothing by itself; serve the checkpoint."
            )

    def read(self, body: bytes, options: Mapping[str, Any]) -> Prompt:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused(422, "bad_text", "It is no text in UTF-8.") from error
        if not text or len(text) > MOST:
            raise Refused(422, "bad_text", f"Expected a text of {MOST:,} characters at most, and not empty.")
        return text, int(options["seed"])

    def by_predictor(self, predict: Predict, items: Sequence[Prompt]) -> Sequence[str]:
        return [predict([text], seed)[0] for text, seed in items]

    def by_file(self, answers: Answers, items: Sequence[Prompt]) -> Sequence[str]:
        raise NotImplementedError  # no file gets here

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        return Alone()

    def say(self, item: Prompt, found: str, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": item[0] + found}
