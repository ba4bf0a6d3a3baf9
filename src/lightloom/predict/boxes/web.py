"""A detector over a network: boxes in a picture, followed and steadied through a camera's or a film's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from lightloom.predict.pictures.uploads import Picture, decoded, to_float
from lightloom.predict.web import Answers, Choice, Number, Predict, Stream, Takes
from lightloom.tracking.light import LaggedTrack, LightTrack
from lightloom.tracking.smoothing import KalmanSmoother, Method, OneEuro, Unsmoothed

ALL = "all"
LOW = 0.1  # the score of a box that may continue a track
AUTO = "auto"  # a film is steadied by what comes later too, a camera by what was before
METHODS: Mapping[str, Callable[[], Method]] = MappingProxyType(
    {AUTO: OneEuro, "kalman": partial(KalmanSmoother, lag=0), "one_euro": OneEuro, "none": Unsmoothed}
)
SAID = {
    ALL: {"en": ALL, "zh": "全部"},
    AUTO: {"en": AUTO, "zh": "自动"},
    "kalman": {"en": "Kalman", "zh": "卡尔曼"},
    "one_euro": {"en": "1 € filter", "zh": "1 € 滤波"},
    "none": {"en": "none", "zh": "无"},
}
LAGGED = (AUTO, "kalman")
Found = Mapping[str, np.ndarray]


class Web:
    """See `lightloom.predict.web`."""

    use = "find"
    title: Mapping[str, str] = MappingProxyType({"en": "Objects", "zh": "目标检测"})
    takes: Takes = "picture"
    streams = True

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.channels, self.classes = int(facts.get("channels") or 3), list(facts["classes"])
        self.fields = (
            Number("min_score", {"en": "least score", "zh": "最低得分"}, 0, 1, 0.05, 0.5),
            Choice("class", {"en": "class", "zh": "类别"}, (ALL, *self.classes), ALL, SAID),
            Choice("smoothing", {"en": "steadying", "zh": "平滑"}, tuple(METHODS), AUTO, SAID),
        )

    def read(self, body: bytes, options: Mapping[str, Any]) -> Picture:
        return decoded(body, self.channels)

    def by_predictor(self, predict: Predict, items: Sequence[Picture]) -> Sequence[Found]:
        return list(predict([item.pixels for item in items]))

    def by_file(self, answers: Answers, items: Sequence[Picture]) -> Sequence[Found]:
        return [answers(to_float(item.pixels)) for item in items]

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        least, smoothing = float(options["min_score"]), options["smoothing"]
        if is_film and smoothing in LAGGED:
            return LaggedTrack(least, LOW, KalmanSmoother())
        return LightTrack(least, LOW, METHODS[smoothing]())

    def say(self, item: Picture, found: Found, options: Mapping[str, Any]) -> dict[str, Any]:
        """size: width and height in pixels. boxes: [x1, y1, x2, y2] in pixels of the picture as it came, the surest
        first, with name, score in [0, 1] and, where they are followed, id; of the class and score that are asked for.
        """
        scale = np.tile(item.scale, 2)
        ids = found.get("ids")
        rows = []
        for i in np.argsort(-found["scores"], kind="stable"):
            name = self.classes[int(found["labels"][i]) - 1]
            if found["scores"][i] < options["min_score"] and ids is None:
                continue
            if options["class"] in (ALL, name):
                box = [round(float(side), 2) for side in found["boxes"][i] * scale]
                row = {"box": box, "name": name, "score": round(float(found["scores"][i]), 4)}
                rows.append(row | ({} if ids is None else {"id": int(ids[i])}))
        return {"size": [item.width, item.height], "boxes": rows}
