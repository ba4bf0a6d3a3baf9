"""A reader of short texts over a network: the text of a picture, and how sure each of its characters is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lightloom.core.errors import UserError
from lightloom.predict.pictures.uploads import Picture, decoded
from lightloom.predict.web import Alone, Answers, Field, Predict, Stream, Takes


class Web:
    """See `lightloom.predict.web`."""

    use = "read"
    title: Mapping[str, str] = MappingProxyType({"en": "Text of a picture", "zh": "识别文字"})
    takes: Takes = "picture"
    streams = False
    fields: Sequence[Field] = ()

    def __init__(self, facts: Mapping[str, Any]) -> None:
        if "input" in facts:
            raise UserError("An exported file of it does not say how its answers are read; serve the checkpoint.")
        self.channels = int(facts["channels"])

    def read(self, body: bytes, options: Mapping[str, Any]) -> Picture:
        return decoded(body, self.channels)

    def by_predictor(self, predict: Predict, items: Sequence[Picture]) -> Sequence[Any]:
        return list(predict([item.pixels for item in items]))

    def by_file(self, answers: Answers, items: Sequence[Picture]) -> Sequence[Any]:
        raise NotImplementedError  # no file gets here

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        return Alone()

    def say(self, item: Picture, found: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        text, reading = found
        sure = zip(text, reading.confidence, strict=True)
        bars = [{"name": character, "value": round(float(value), 4)} for character, value in sure]
        figures = {"probability": round(float(reading.probability), 4)}
        return {"size": [item.width, item.height], "text": text, "bars": bars, "figures": figures}
