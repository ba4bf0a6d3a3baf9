"""Draw a text as a captcha: letters that are turned and moved, lines across, waves and noise.

A picture is a function of its text, its font and its key. Numbers come from `ops.rng`, letters from matplotlib's fonts.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lightloom.ops.rng import uniforms

FAMILIES = {
    "dejavu": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif"),
    "stix": ("STIXGeneral", "STIXGeneralBol"),
    "computer_modern": ("cmr10", "cmb10", "cmss10", "cmtt10"),
}
TURN = 25.0  # degrees to either side, at most
STEP, SIZES = 5, 2  # degrees, and pixels of a font: a letter is drawn once for each step of both
MARGIN = 2  # pixels
PER_LETTER, SHARED, PER_LINE = 3, 10, 6  # numbers that are drawn


@dataclass(frozen=True)
class Style:
    """noise: standard deviation of grey, a share of white. lines: across the text. warp: pixels, of waves. inverted:
    light letters on dark ground.
    """

    height: int
    width: int
    noise: float
    lines: int
    warp: float
    inverted: bool = False


def draw(text: str, font: str, key: int, style: Style, longest: int) -> Tensor:
    """uint8 (1, height, width). longest: letters that have to find room, by which their size goes."""
    height, width = style.height, style.width
    count = SHARED + PER_LETTER * len(text) + PER_LINE * style.lines
    u = uniforms(torch.tensor([key]), count + height * width)[0].numpy()
    letters = u[SHARED : SHARED + PER_LETTER * len(text)].reshape(-1, PER_LETTER)
    ink = _written(text, font, u[:SHARED], letters, style, max(longest, len(text)))
    _cross(ink, u[count - PER_LINE * style.lines : count].reshape(-1, PER_LINE))
    shades = _waved(np.asarray(ink, dtype=np.float32) / 255, u[:SHARED], style.warp)
    ground, colour = 190 + 60 * u[5], 100 * u[6]
    grain = math.sqrt(12) * 255 * style.noise * (u[count:].reshape(height, width) - 0.5)
    page = ground + (colour - ground) * shades + grain
    page = 255 - page if style.inverted else page
    return torch.from_numpy(page.clip(0, 255).round().astype(np.uint8))[None]


def _written(text: str, font: str, u: np.ndarray, letters: np.ndarray, style: Style, longest: int) -> Image.Image:
    """Letters in white on black, each turned and moved up or down, the text somewhere from left to right."""
    height, width = style.height, style.width
    size = min(height * (0.7 + 0.2 * float(u[0])), 1.45 * (width - 2 * MARGIN) / longest)
    turns = [STEP * round(TURN * (2 * float(share) - 1) / STEP) for share in letters[:, 0]]
    glyphs = [_glyph(font, SIZES * round(size / SIZES), letter, turn) for letter, turn in zip(text, turns, strict=True)]
    steps = [g.width * (0.82 + 0.2 * float(share)) for g, share in zip(glyphs, letters[:, 1], strict=True)]
    room = width - 2 * MARGIN
    needed = sum(steps[:-1]) + glyphs[-1].width
    squeezed = min(1.0, (room - glyphs[-1].width) / max(sum(steps[:-1]), 1))
    x = MARGIN + float(u[1]) * max(0.0, room - needed)
    page = Image.new("L", (width, height))
    for glyph, step, share in zip(glyphs, steps, letters[:, 2], strict=True):
        y = round(float(share) * max(0, height - glyph.height))
        page.paste(255, (round(x), y), glyph)
        x += step * squeezed
    return page


@functools.lru_cache(1 << 14)
def _glyph(font: str, size: int, letter: str, turn: int) -> Image.Image:
    """A letter in white on black, cut to what is seen of it."""
    drawn = ImageFont.truetype(_fonts() / f"{font}.ttf", size)
    canvas = Image.new("L", (3 * size, 3 * size))
    ImageDraw.Draw(canvas).text((1.5 * size, 1.5 * size), letter, 255, drawn, anchor="mm")
    turned = canvas.rotate(turn, Image.Resampling.BICUBIC)
    return turned.crop(turned.getbbox())


@functools.cache
def _fonts() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts/ttf"


def _cross(page: Image.Image, lines: np.ndarray) -> None:
    """Curves from the left to the right, each an arc of a wave."""
    pen = ImageDraw.Draw(page)
    x = np.arange(0, page.width + 4, 4)
    for start, end, bend, phase, thick, shade in lines.tolist():
        y = page.height * (start + (end - start) * x / page.width)
        y = y + page.height * 0.3 * bend * np.sin(2 * math.pi * (x / page.width + phase))
        pen.line([*zip(x.tolist(), y.tolist(), strict=True)], round(140 + 115 * shade), 1 + round(thick))


def _waved(shades: np.ndarray, u: np.ndarray, warp: float) -> np.ndarray:
    """Columns moved up and down, then rows left and right, each by a wave of `warp` pixels at most."""
    if not warp:
        return shades
    for axis, own in ((0, u[7:9]), (1, u[9:7:-1])):
        shades = _moved(shades, axis, warp * float(u[2 + axis]), own)
    return shades


def _moved(shades: np.ndarray, axis: int, reach: float, u: np.ndarray) -> np.ndarray:
    size, across = shades.shape[axis], shades.shape[1 - axis]
    by = reach * np.sin(2 * math.pi * ((0.5 + u[0]) * np.arange(across) / (2 * shades.shape[0]) + u[1]))
    places = np.arange(size)[:, None] + by[None]
    low = np.floor(places).astype(np.int64)
    share = (places - low).astype(np.float32)
    lines = shades if axis == 0 else shades.T
    first, second = (np.take_along_axis(lines, at.clip(0, size - 1), 0) for at in (low, low + 1))
    moved = first + share * (second - first)
    return moved if axis == 0 else moved.T
