"""A translator over a network: a text, and its translation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lightloom.core.errors import UserError
from lightloom.predict.web import Alone, Answers, Field, Number, Predict, Refused, Stream, Takes

MOST = 2_000  # characters
Asked = tuple[str, int]  # and the beam's width


class Web:
    """See `lightloom.predict.web`."""

    use = "translate"
    title: Mapping[str, str] = MappingProxyType({"en": "Translate", "zh": "翻译"})
    takes: Takes = "text"
    streams = False
    fields: Sequence[Field] = (Number("beam", {"en": "beam width", "zh": "束宽"}, 1, 16, 1, 4),)

    def __init__(self, facts: Mapping[str, Any]) -> None:
        if "input" in facts:
            raise UserError(
                "An exported translator gives logits, and searches no translation by itself; serve the checkpoint."
            )

    def read(self, body: bytes, options: Mapping[str, Any]) -> Asked:
        """A text in UTF-8, its lines as one."""
        try:
            text = " ".join(body.decode().split())
        except UnicodeDecodeError as error:
            raise Refused(422, "bad_text", "It is no text in UTF-8.") from error
        if not text or len(text) > MOST:
            raise Refused(422, "bad_text", f"Expected a text of {MOST:,} characters at most, and not empty.")
        return text, int(options["beam"])

    def by_predictor(self, predict: Predict, items: Sequence[Asked]) -> Sequence[str]:
        return [predict([text], width)[0] for text, width in items]

    def by_file(self, answers: Answers, items: Sequence[Asked]) -> Sequence[str]:
        raise NotImplementedError  # no file gets here

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        return Alone()

    def say(self, item: Asked, found: str, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": found}
