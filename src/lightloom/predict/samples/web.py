"""A generative model over a network: new images of a seed, between two seeds, and along single latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from lightloom.core.errors import UserError
from lightloom.predict.pictures.uploads import png
from lightloom.predict.samples.latents import latents
from lightloom.predict.web import Alone, Answers, Choice, Field, Number, Predict, Stream, Takes

NEW, BETWEEN = "new", "between"
ALL = "each in turn"
SAID = {
    NEW: {"en": NEW, "zh": "新图像"},
    BETWEEN: {"en": "between two seeds", "zh": "两个种子之间"},
    ALL: {"en": ALL, "zh": "依次每类"},
}
SLIDERS = 6  # latents that can be moved
Latents = tuple[np.ndarray, ...]  # (N, Z), and labels (N,) of a model that makes images by class


class Web:
    """See `lightloom.predict.web`."""

    use = "sample"
    title: Mapping[str, str] = MappingProxyType({"en": "New images", "zh": "生成图像"})
    takes: Takes = "nothing"
    streams = False

    def __init__(self, facts: Mapping[str, Any]) -> None:
        size = facts.get("latent_dim") or (facts.get("input") or [None])[-1]
        if not isinstance(size, int | float):
            raise UserError("The model does not say how many latents it takes; export it anew.")
        self.size = int(size)
        fields: list[Field] = [
            Number("seed", {"en": "seed", "zh": "随机种子"}, 0, 9999, 1, 0),
            Number("count", {"en": "images", "zh": "图像数"}, 1, 64, 1, 16),
            Choice("what_of", {"en": "what", "zh": "内容"}, (NEW, BETWEEN), NEW, SAID),
            Number("to_seed", {"en": "to the seed (between)", "zh": "目标种子（插值）"}, 0, 9999, 1, 1),
            Number("spread", {"en": "spread of the latents", "zh": "潜变量幅度"}, 0, 2, 0.05, 1),
        ]
        for i in range(1, min(self.size, SLIDERS) + 1):
            fields.append(Number(f"z{i}", {"en": f"latent {i}, moved by", "zh": f"潜变量 {i} 偏移"}, -3, 3, 0.1, 0))
        self.classes = list(facts.get("classes") or ()) if facts.get("by_class") else []
        if self.classes:
            fields.append(Choice("class", {"en": "class", "zh": "类别"}, (ALL, *map(str, self.classes)), ALL, SAID))
        self.fields = tuple(fields)

    def read(self, body: bytes, options: Mapping[str, Any]) -> Latents:
        """Latents float32 (count, size): of a seed, or on the way between two, spread and moved as the sliders say;
        and, of a model by class, labels int64 (count,): of one class, or of all in turn.
        """
        seed, count = int(options["seed"]), int(options["count"])
        if options["what_of"] == NEW:
            z = latents(seed, count, self.size)
        else:
            ends = [latents(int(options[name]), 1, self.size) for name in ("seed", "to_seed")]
            z = between(ends[0], ends[1], count)
        z = z * np.float32(options["spread"])
        moved = np.array([options[f"z{i}"] for i in range(1, min(self.size, SLIDERS) + 1)], np.float32)
        z[:, : len(moved)] += moved
        if not self.classes:
            return (z,)
        chosen = options["class"]
        labels = np.arange(len(z)) % len(self.classes) if chosen == ALL else np.full(len(z), self._label(chosen))
        return z, labels.astype(np.int64)

    def _label(self, name: str) -> int:
        return [str(one) for one in self.classes].index(name)

    def by_predictor(self, predict: Predict, items: Sequence[Latents]) -> Sequence[np.ndarray]:
        return [predict(*item) for item in items]

    def by_file(self, answers: Answers, items: Sequence[Latents]) -> Sequence[np.ndarray]:
        return [answers(*item)["images"] for item in items]

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        return Alone()

    def say(self, item: Latents, found: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
        names = [str(self.classes[k]) for k in item[1]] if self.classes else [str(i + 1) for i in range(len(found))]
        return {"pictures": [{"name": name, "src": png(image)} for name, image in zip(names, found, strict=True)]}


def between(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """Points (count, Z) on the arc from a to b, (1, Z) each: on a straight line they would be shorter than any sample
    (White 2016, Sampling Generative Networks)."""
    steps = np.linspace(0, 1, count, dtype=np.float32)[:, None]
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    angle = np.arccos(np.clip((a @ b.T).item() / max(float(lengths[0] * lengths[1]), 1e-12), -1, 1))
    if np.sin(angle) < 1e-6:
        return a * (1 - steps) + b * steps
    return ((np.sin((1 - steps) * angle) * a + np.sin(steps * angle) * b) / np.sin(angle)).astype(np.float32)
