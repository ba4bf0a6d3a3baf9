"""A tagger or a regressor over a network: how likely each label of a picture is, or its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from lightloom.predict.pictures.square import Square
from lightloom.predict.pictures.uploads import Picture, centre, to_float
from lightloom.predict.web import Answers, Field, Predict


class Web(Square):
    """See `lightloom.predict.web`."""

    use = "estimate"
    title: Mapping[str, str] = MappingProxyType({"en": "Labels and numbers", "zh": "标签与数值"})
    fields: Sequence[Field] = ()

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self.are_labels = facts.get("kind") == "image_tags"

    def by_predictor(self, predict: Predict, items: Sequence[Picture]) -> Sequence[np.ndarray]:
        return list(predict([item.pixels for item in items]))

    def by_file(self, answers: Answers, items: Sequence[Picture]) -> Sequence[np.ndarray]:
        return list(answers(np.stack([to_float(centre(item.pixels, self.side)) for item in items]))["estimates"])

    def say(self, item: Picture, found: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
        values = {str(name): round(float(value), 6) for name, value in zip(self.classes, found, strict=True)}
        if self.are_labels:
            return {"bars": [{"name": name, "value": value} for name, value in values.items()]}
        return {"figures": values}
