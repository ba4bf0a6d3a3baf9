"""A classifier of texts over a network: the probabilities of its classes. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from lightloom.core.errors import UserError
from lightloom.data.tokens import PAD, UNKNOWN, from_state
from lightloom.predict.web import Alone, Answers, Number, Predict, Refused, Stream, Takes

MOST = 20_000  # characters


class Web:
    """See `lightloom.predict.web`."""

    use = "classify_texts"
    title = MappingProxyType({"en": "Classes of texts", "zh": "文本分类"})
    takes: Takes = "text"
    streams = False
    fields = (Number("top", {"en": "classes shown", "zh": "显示类别数"}, 1, 100, 1, 5),)

    def __init__(self, facts: Mapping[str, Any]) -> None:
        if facts.get("vocabulary") is None:
            raise UserError("The data of the model states no vocabulary; texts cannot be read as it takes them.")
        self.tokens, self.max_length = from_state(facts["vocabulary"]), int(facts["max_length"])
        self.classes = list(facts.get("classes") or ())

    def read(self, body: bytes, options: Mapping[str, Any]) -> str:
        """A text in UTF-8, its lines as one."""
        try:
            text = " ".join(body.decode().split())
        except UnicodeDecodeError as error:
            raise Refused(422, "bad_text", "It is no text in UTF-8.") from error
        if not text or len(text) > MOST:
            raise Refused(422, "bad_text", f"Expected a text of {MOST:,} characters at most, and not empty.")
        return text

    def by_predictor(self, predict: Predict, items: Sequence[str]) -> Sequence[np.ndarray]:
        return list(predict(list(items)))

    def by_file(self, answers: Answers, items: Sequence[str]) -> Sequence[np.ndarray]:
        found = [self.tokens.encode(text)[: self.max_length] or [UNKNOWN] for text in items]
        ids = np.full((len(found), max(map(len, found))), PAD, np.int64)
        for row, own in zip(ids, found, strict=True):
            row[: len(own)] = own
        return list(answers(ids)["probabilities"])

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        return Alone()

    def say(self, item: str, found: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
        order = np.argsort(-found, kind="stable")[: int(options["top"])]
        names = self.classes or [str(i) for i in range(len(found))]
        return {"bars": [{"name": names[i], "value": round(float(found[i]), 6)} for i in order]}
