"""The outline of an object as COCO writes it, polygons or run lengths, which becomes a mask when an image is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.limits import check_pixels
from lightloom.core.schema import SIDE, either, entries, items, nothing, number, text, whole

LONGEST = 8_000_000  # pixels, of the outline of one object
LEAST = 6  # numbers of a polygon: fewer than three points enclose nothing

PIXEL = number(-1e6, 1e6)
RUNS = entries({"counts": either(text(10_000_000), items(whole(0))), "size": items(SIDE, 2, 2)}, {})
SEGMENTATION = either(nothing, items(items(PIXEL, multiple=2, of="numbers")), RUNS)


def is_flat(outline: Any) -> bool:
    """Is it polygons of which none has three points?"""
    return isinstance(outline, list) and all(len(polygon) < LEAST for polygon in outline)


def corners(xs: Sequence[float], ys: Sequence[float]) -> list[float]:
    """The box, xyxy, of points."""
    return [min(xs), min(ys), max(xs), max(ys)]


def ellipse(x: float, y: float, rx: float, ry: float) -> list[float]:
    """The polygon of 32 points on an ellipse about (x, y)."""
    angles = [math.tau * i / 32 for i in range(32)]
    return polygon([x + rx * math.cos(a) for a in angles], [y + ry * math.sin(a) for a in angles])


def polygon(xs: Sequence[float], ys: Sequence[float]) -> list[float]:
    """Points as x, y, x, y, ..."""
    return [value for point in zip(xs, ys, strict=True) for value in point]


@dataclass(frozen=True)
class Segments:
    """Masks as COCO writes them: a list of polygons, or run lengths, for each object of an image.

    source: the file and image that they are of, for messages.
    """

    items: list[Any]
    source: str

    def read(self, size: tuple[int, int]) -> Tensor:
        """uint8 (N, H, W)."""
        if not self.items:
            return torch.zeros(0, *size, dtype=torch.uint8)
        return torch.from_numpy(np.stack([decode(item, size, self.source) for item in self.items]))

    def pick(self, kept: Tensor) -> Segments:
        return Segments([self.items[i] for i in kept.tolist()], self.source)


def decode(segmentation: Any, size: tuple[int, int], source: str = "segmentation") -> np.ndarray:
    """A mask, uint8 (H, W), from polygons [[x, y, x, y, ...], ...] or run lengths {size, counts}, packed or not.

    Nothing is handed to a decoder in C that is not as it expects. Raises UserError for what is no mask of this size.
    """
    check_pixels(source, size[1], size[0])
    if isinstance(segmentation, dict):
        return _decode_runs(segmentation, size, source)
    from faster_coco_eval import mask

    whole = [polygon for polygon in segmentation if len(polygon) >= LEAST]
    for polygon in whole:
        points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        if np.abs(np.diff(points, axis=0, append=points[:1])).max(1).sum() > LONGEST:
            raise UserError(
                f"{source}: the outline of an object is longer than {LONGEST:,} pixels; correct the polygon"
            )
    return np.ascontiguousarray(mask.decode(mask.merge(mask.frPyObjects(whole, *size))))


def _decode_runs(runs: dict[str, Any], size: tuple[int, int], source: str) -> np.ndarray:
    """Columns from left to right, beginning with the zeros."""
    counts = runs["counts"]
    if isinstance(counts, str | bytes):
        counts = unpacked(counts if isinstance(counts, str) else counts.decode("ascii"), source)
    counts = [int(n) for n in counts]
    height, width = map(int, runs["size"])
    if (height, width) != tuple(size) or min(counts, default=0) < 0 or sum(counts) != height * width:
        raise UserError(
            f"{source}: run lengths of size {height} x {width} hold {sum(counts)} pixels, not {size[0]} x {size[1]}"
        )
    values = np.arange(len(counts), dtype=np.uint8) % 2
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def unpacked(packed: str, source: str) -> list[int]:
    """Run lengths from COCO's text: five bits a character, from 48 on, as differences to the last but one."""
    counts: list[int] = []
    value, shift = 0, 0
    for char in packed:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise UserError(
                f"{source}: {char!r} at run {len(counts)} is no part of packed run lengths; export them again"
            )
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last of this number, whose highest bit is its sign
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise UserError(f"{source}: packed run lengths end within a number; export them again")
    return counts
