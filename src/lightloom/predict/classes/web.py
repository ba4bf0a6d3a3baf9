"""A classifier over a network: the most probable classes of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from lightloom.predict.pictures.square import Square
from lightloom.predict.pictures.uploads import Picture, centre, to_float
from lightloom.predict.web import Answers, Number, Predict


class Web(Square):
    """See `lightloom.predict.web`."""

    use = "classify"
    title = MappingProxyType({"en": "Classes", "zh": "图像分类"})
    fields = (Number("top", {"en": "classes shown", "zh": "显示类别数"}, 1, 100, 1, 5),)

    def by_predictor(self, predict: Predict, items: Sequence[Picture]) -> Sequence[np.ndarray]:
        return list(predict([item.pixels for item in items]))

    def by_file(self, answers: Answers, items: Sequence[Picture]) -> Sequence[np.ndarray]:
        batch = np.stack([to_float(centre(item.pixels, self.side)) for item in items])
        return list(answers(batch)["probabilities"])

    def say(self, item: Picture, found: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
        order = np.argsort(-found, kind="stable")[: int(options["top"])]
        names = self.classes or [str(i) for i in range(len(found))]
        return {"bars": [{"name": names[i], "value": round(float(found[i]), 6)} for i in order]}
