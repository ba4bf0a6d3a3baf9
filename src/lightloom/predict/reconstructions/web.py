"""An autoencoder over a network: a picture as the model saw it, beside what it made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from lightloom.predict.pictures.square import Square
from lightloom.predict.pictures.uploads import Picture, centre, png, to_float
from lightloom.predict.web import Answers, Field, Predict

CHINESE = MappingProxyType({"input": "输入", "reconstruction": "重建", "difference": "差异"})
Pair = tuple[np.ndarray, np.ndarray]


class Web(Square):
    """See `lightloom.predict.web`."""

    use = "reconstruct"
    title: Mapping[str, str] = MappingProxyType({"en": "Reconstruction", "zh": "重建"})
    fields: Sequence[Field] = ()

    def by_predictor(self, predict: Predict, items: Sequence[Picture]) -> Sequence[Pair]:
        seen, again = predict([item.pixels for item in items])
        return list(zip(seen, again, strict=True))

    def by_file(self, answers: Answers, items: Sequence[Picture]) -> Sequence[Pair]:
        seen = np.stack([to_float(centre(item.pixels, self.side)) for item in items])
        return list(zip(seen, answers(seen)["reconstructions"], strict=True))

    def say(self, item: Picture, found: Pair, options: Mapping[str, Any]) -> dict[str, Any]:
        """pictures: input, reconstruction and their distance as data addresses of PNGs. mse: mean over all values, of
        images in [0, 1].
        """
        seen, again = found
        pictures = {"input": seen, "reconstruction": again, "difference": np.abs(again - seen)}
        return {
            "pictures": [
                {"name": name, "words": {"en": name, "zh": CHINESE[name]}, "src": png(image)}
                for name, image in pictures.items()
            ],
            "figures": {"mse": round(float(np.square(again - seen).mean()), 6)},
        }
