"""Draw pictures of texts with what was read in them, each symbol where it was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import pad

from lightloom.callbacks.pages import ExamplePages
from lightloom.core.ranges import Count
from lightloom.core.text import line
from lightloom.data.text_images.alphabet import decoded
from lightloom.ops.ctc import Reading
from lightloom.ops.images.grid import captioned, from_pil, grid, to_pil, to_uint8
from lightloom.ops.typed_trainer import typed

HEIGHT, STRIP, COLUMNS = 64, 16, 3  # pixels of a picture and of the line below it; pictures in a row
INK, WRONG = (0, 0, 0), (220, 0, 0)


@dataclass(frozen=True)
class Shown:
    """image: uint8 (C, H, W). true: the text's codes. found: what was read."""

    image: Tensor
    true: tuple[int, ...]
    found: Reading

    @property
    def badness(self) -> float:
        """By which the worst come first: wrong ones, the surest of them, then right ones, the least sure."""
        sure = self.found.probability
        return 1 + sure if self.found.codes != self.true else 1 - sure


class Readings(ExamplePages):
    """Writes `readings/epoch-0001.png` and so on, and readings.png at a test: see `ExamplePages`.

    The worst are what the model read wrongly and was most sure of. Over each stands its true text, below it what was
    read and how sure.
    """

    name, output = "readings", "readings"

    def __init__(self, dirpath: str, num_images: Count = 24) -> None:
        super().__init__(dirpath, num_images)

    def examples(self, outputs: Any, batch: Any, module: Any, chosen: Sequence[int]) -> list[Shown]:
        return shown(outputs["readings"], batch, chosen)

    def badness(self, example: Shown) -> float:
        return example.badness

    def page(self, examples: Sequence[Shown], trainer: pl.Trainer) -> Tensor:
        return page(examples, getattr(typed(trainer).datamodule, "alphabet", None) or "")


def shown(readings: Sequence[Reading], batch: tuple[Tensor, Tensor], chosen: Sequence[int]) -> list[Shown]:
    """The chosen ones of a batch of images (B, C, H, W) and codes (B, L), on the CPU."""
    texts = [tuple(code for code in row if code) for row in batch[1].tolist()]
    return [Shown(to_uint8(batch[0][i]), texts[i], readings[i]) for i in chosen]


def page(found: Sequence[Shown], alphabet: str) -> Tensor:
    """A cell for each picture, uint8 (3, H, W)."""
    return grid(torch.stack([cell(one, alphabet) for one in found]), COLUMNS)


def cell(one: Shown, alphabet: str) -> Tensor:
    """The true text and how sure the model is, the picture, and each symbol at its place; uint8 (3, H, W)."""
    factor = math.ceil(HEIGHT / one.image.shape[1])
    picture = one.image.expand(3, -1, -1).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    true = f"{line(decoded(one.true, alphabet))}   {100 * one.found.probability:.0f} %"
    drawn = to_pil(captioned(pad(picture, (0, 0, 0, STRIP), value=255), top=[true]))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(STRIP - 3)
    for place, code in enumerate(one.found.codes):
        is_right = place < len(one.true) and one.true[place] == code
        x, y = one.found.places[place] * drawn.width, drawn.height - STRIP / 2
        pen.text((x, y), decoded([code], alphabet), INK if is_right else WRONG, font, anchor="mm")
    return from_pil(drawn)
