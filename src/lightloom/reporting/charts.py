"""Curves as inline SVG: places of lines and ticks for a template, values for the pointer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 480, 240  # of the drawing, in its own units; a page scales it
LEFT, RIGHT, TOP, BOTTOM = 62, 10, 10, 28  # around the axes
MOST_POINTS = 240  # of a drawn line
WIDE = 100.0  # a positive range of this ratio or more is drawn on a logarithmic axis
COLOURS = 8  # --c0 ... of the style sheet


@dataclass(frozen=True)
class Line:
    """x rising; colour: a number, taken modulo COLOURS; dashed, for what belongs to another line of the same colour."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """What the template draws. lines: name, colour, dashed and `points`. ticks: (place, text). data: for the script.

    size: (width, height); area: left, top, right and bottom of the axes.
    """

    title: str
    x_label: str
    lines: list[dict[str, Any]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    data: dict[str, Any]
    log: bool
    size: tuple[int, int] = (WIDTH, HEIGHT)
    area: tuple[int, int, int, int] = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)


def chart(title: str, lines: Sequence[Line], x_label: str, y_range: tuple[float, float] | None = None) -> Chart:
    """Lines on common axes; y_range: the least that the vertical axis spans."""
    lines = [thinned(line) for line in lines if line.x]
    xs, ys = [x for line in lines for x in line.x], [y for line in lines for y in line.y]
    log = y_range is None and min(ys) > 0 and max(ys) / min(ys) >= WIDE
    bend = math.log10 if log else float
    x_axis = _Axis(*_padded(min(xs), max(xs), 0.0), LEFT, WIDTH - RIGHT)
    bent = [bend(y) for y in (*ys, *(y_range or ()))]
    y_axis = _Axis(*_padded(min(bent), max(bent), 0.04), HEIGHT - BOTTOM, TOP)
    drawn, data = [], []
    for line in lines:
        places = [(round(x_axis(x), 1), round(y_axis(bend(y)), 1)) for x, y in zip(line.x, line.y, strict=True)]
        look = {"name": line.name, "colour": line.colour % COLOURS, "dashed": line.dashed}
        drawn.append({**look, "points": " ".join(f"{x},{y}" for x, y in places)})
        shown = [[x, y, _brief(at), _brief(value)] for (x, y), at, value in zip(places, line.x, line.y, strict=True)]
        data.append({**look, "points": shown})
    y_ticks = _decades(y_axis) if log else [(value, _brief(value)) for value in nice(y_axis.low, y_axis.high, 5)]
    return Chart(
        title,
        x_label,
        drawn,
        [(x_axis(value), _brief(value)) for value in nice(x_axis.low, x_axis.high, 6)],
        [(y_axis(value), text) for value, text in y_ticks],
        {"x_label": x_label, "lines": data},
        log,
    )


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


def thinned(line: Line) -> Line:
    """A line of MOST_POINTS or fewer that keeps the least and the greatest value of each stretch."""
    if len(line.x) <= MOST_POINTS:
        return line
    stretches = MOST_POINTS // 2
    edges = [round(i * len(line.x) / stretches) for i in range(stretches + 1)]
    kept = set()
    for begin, end in pairwise(edges):
        kept |= {min(range(begin, end), key=line.y.__getitem__), max(range(begin, end), key=line.y.__getitem__)}
    places = sorted(kept)
    return Line(line.name, [line.x[i] for i in places], [line.y[i] for i in places], line.colour, line.dashed)


def nice(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten inside [low, high], `about` as many; none where there is no room."""
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(axis: _Axis) -> list[tuple[float, str]]:
    powers = range(math.ceil(axis.low - 1e-9), math.floor(axis.high + 1e-9) + 1)
    every = max(1, -(-len(powers) // 6))
    return [(float(p), f"{10.0**p:g}") for p in powers if p % every == 0]


def _padded(low: float, high: float, share: float) -> tuple[float, float]:
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    return low - share * (high - low), high + share * (high - low)


def _brief(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e7 else f"{value:.4g}"
