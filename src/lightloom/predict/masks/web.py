"""A model of masks over a network: the class of each pixel, laid over the picture, and how much each covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from lightloom.predict.pictures.uploads import Picture, data_address, decoded, to_float
from lightloom.predict.web import Alone, Answers, Field, Predict, Stream, Takes


class Web:
    """See `lightloom.predict.web`."""

    use = "segment"
    title: Mapping[str, str] = MappingProxyType({"en": "Segmentation", "zh": "图像分割"})
    takes: Takes = "picture"
    streams = True
    fields: Sequence[Field] = ()

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.channels, self.side = int(facts.get("channels") or 3), facts.get("image_size")
        self.classes = list(facts.get("classes") or ())

    def read(self, body: bytes, options: Mapping[str, Any]) -> Picture:
        return decoded(body, self.channels)

    def by_predictor(self, predict: Predict, items: Sequence[Picture]) -> Sequence[np.ndarray]:
        return list(predict([item.pixels for item in items]))

    def by_file(self, answers: Answers, items: Sequence[Picture]) -> Sequence[np.ndarray]:
        return [self._of_file(answers, item.pixels) for item in items]

    def _of_file(self, answers: Answers, pixels: np.ndarray) -> np.ndarray:
        """The short side at the size of training, and the answers at the picture's."""
        height, width = pixels.shape[1:]
        factor = float(self.side) / min(height, width) if self.side else 1.0
        size = max(1, round(width * factor)), max(1, round(height * factor))
        seen = np.stack([_scaled(plane, size) for plane in pixels]) if size != (width, height) else pixels
        logits = answers(to_float(seen)[None])["logits"][0]
        if size != (width, height):
            logits = np.stack([_scaled(plane, (width, height)) for plane in logits])
        return logits.argmax(0).astype(np.uint8)

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        return Alone()

    def say(self, item: Picture, found: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
        counts = np.bincount(found.ravel(), minlength=256)
        overlay = Image.fromarray(found, "P")
        overlay.putpalette(PALETTE.tobytes())
        order = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
        return {
            "size": [item.width, item.height],
            "overlay": data_address(overlay),
            "legend": [{"name": self._name(k), "colour": f"#{PALETTE[k].tobytes().hex()}"} for k in order],
            "bars": [{"name": self._name(k), "value": round(float(counts[k] / found.size), 6)} for k in order],
        }

    def _name(self, k: int) -> str:
        return self.classes[k] if k < len(self.classes) else str(k)


def _palette() -> np.ndarray:
    """A colour for each class, uint8 (256, 3), as in Pascal VOC's devkit: bits of the class, spread over r, g and b."""
    classes = np.arange(256)
    planes = [sum(((classes >> (3 * bit + plane)) & 1) << (7 - bit) for bit in range(3)) for plane in range(3)]
    return np.stack(planes, 1).astype(np.uint8)


PALETTE = _palette()


def _scaled(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) to (height, width) of a size (width, height), bilinear with antialiasing."""
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
