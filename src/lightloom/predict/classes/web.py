"""A classifier over a network: the most probable classes of a picture, and where it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from lightloom.predict.pictures.square import Square
from lightloom.predict.pictures.uploads import Picture, centre, data_address, to_float
from lightloom.predict.web import Answers, Choice, Field, Number, Predict

FINEST = 256  # pixels of an overlay's long side
YES, NO = "yes", "no"
SAID = {YES: {"en": YES, "zh": "显示"}, NO: {"en": NO, "zh": "不显示"}}


@dataclass(frozen=True)
class Asked(Picture):
    """looks: is it asked where the classifier looks?"""

    looks: bool = False


@dataclass(frozen=True)
class Found:
    """probabilities: (num_classes,). heat: (h, w), not negative, of the square that the classifier sees."""

    probabilities: np.ndarray
    heat: np.ndarray | None = None


class Web(Square):
    """See `lightloom.predict.web`."""

    use = "classify"
    title = MappingProxyType({"en": "Classes", "zh": "图像分类"})
    fields: Sequence[Field] = (Number("top", {"en": "classes shown", "zh": "显示类别数"}, 1, 100, 1, 5),)

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        if facts.get("looks"):
            self.fields = (
                *self.fields,
                Choice("look", {"en": "where it looks", "zh": "关注区域"}, (NO, YES), NO, SAID),
            )

    def read(self, body: bytes, options: Mapping[str, Any]) -> Asked:
        return Asked(**vars(super().read(body, options)), looks=options.get("look") == YES)

    def by_predictor(self, predict: Predict, items: Sequence[Asked]) -> Sequence[Found]:
        pixels = [item.pixels for item in items]
        asked = [i for i, item in enumerate(items) if item.looks]
        heats = dict(zip(asked, predict([pixels[i] for i in asked], by="attended"), strict=True)) if asked else {}
        return [Found(found, heats.get(i)) for i, found in enumerate(predict(pixels))]

    def by_file(self, answers: Answers, items: Sequence[Asked]) -> Sequence[Found]:
        batch = np.stack([to_float(centre(item.pixels, self.side)) for item in items])
        return [Found(found) for found in answers(batch)["probabilities"]]

    def say(self, item: Asked, found: Found, options: Mapping[str, Any]) -> dict[str, Any]:
        order = np.argsort(-found.probabilities, kind="stable")[: int(options["top"])]
        names = self.classes or [str(i) for i in range(len(found.probabilities))]
        bars = [{"name": names[i], "value": round(float(found.probabilities[i]), 6)} for i in order]
        if found.heat is None:
            return {"bars": bars}
        overlay = over(found.heat, item.width, item.height, self.side / self.read_side)
        return {"bars": bars, "size": [item.width, item.height], "overlay": data_address(overlay)}


def over(heat: np.ndarray, width: int, height: int, share: float) -> Image.Image:
    """A map of the middle square of a picture in colours, from dark over red and yellow to white; what was cut off is
    clear. share: of the short side, that the square has.
    """
    scaled = heat / max(float(heat.max()), np.finfo(np.float32).tiny)
    colours = np.clip(3 * scaled[..., None] - np.arange(3), 0, 1)
    factor = min(1.0, FINEST / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    side = max(1, round(share * min(size)))
    square = Image.fromarray((255 * colours).astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    image = Image.new("RGBA", size)
    image.paste(square, ((size[0] - side) // 2, (size[1] - side) // 2))
    return image
