"""What an answer has, drawn on its picture and as rows of a table: by the names in it. Needs no torch."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOURS = ("#e6194b", "#3cb44b", "#ffb000", "#4363d8", "#f58231", "#911eb4", "#008b9c", "#f032e6", "#6b8e00", "#9a6324")
OPACITY = 128  # of 255
Answer = Mapping[str, Any]


def painted(pixels: np.ndarray, answer: Answer) -> np.ndarray:
    """uint8 (H, W, 3), with what can be drawn."""
    image = Image.fromarray(pixels)
    for name, paint in PAINTERS.items():
        if name in answer:
            image = paint(image, answer)
    return np.asarray(image)


def _boxes(image: Image.Image, answer: Answer) -> Image.Image:
    line = max(2, round(max(image.size) / 400))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(max(12, 7 * line))
    for box in answer["boxes"]:
        colour = COLOURS[box.get("id", sum(map(ord, box["name"]))) % len(COLOURS)]
        left, top, right, bottom = box["box"]
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        name = f"{box.get('id', '')} {box['name']}".strip()
        place = draw.textbbox((left + 3, max(top, 9 * line)), name, font=font, anchor="ls")
        draw.rectangle((place[0] - 2, place[1] - 2, place[2] + 2, place[3] + 2), fill=colour)
        draw.text((left + 3, max(top, 9 * line)), name, fill="white", font=font, anchor="ls")
    return image


def _overlay(image: Image.Image, answer: Answer) -> Image.Image:
    content = base64.b64decode(answer["overlay"].partition(",")[2])
    with Image.open(io.BytesIO(content), formats=("PNG",)) as own:
        over = own.convert("RGBA").resize(image.size, Image.Resampling.NEAREST)
    clear = over.getchannel("A").point(lambda alpha: alpha * OPACITY // 255)
    return Image.composite(over.convert("RGB"), image, clear)


PAINTERS: dict[str, Callable[[Image.Image, Answer], Image.Image]] = {"overlay": _overlay, "boxes": _boxes}
HEADS = {
    "boxes": ("id", "name", "score", "left", "top", "right", "bottom"),
    "bars": ("name", "value"),
}


def head(answer: Answer) -> tuple[str, ...]:
    """Of the table of a film's answers."""
    return next((columns for name, columns in HEADS.items() if name in answer), ())


def rows(answer: Answer) -> list[tuple[Any, ...]]:
    """A row for each thing that was found, of such columns."""
    if "boxes" in answer:
        return [(box.get("id", ""), box["name"], box["score"], *box["box"]) for box in answer["boxes"]]
    return [(bar["name"], bar["value"]) for bar in answer.get("bars", ())]
