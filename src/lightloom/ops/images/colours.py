"""A picture's colours in other spaces than RGB, as planes of equal range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

Space = Literal["rgb", "hsv", "lab", "rgi", "hue", "grey"]
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # IEC 61966-2-1
WHITE = np.array([0.9505, 1.0, 1.089])  # D65


def planes(picture: np.ndarray, space: Space) -> np.ndarray:
    """float64 (C, H, W) in [0, 255] of a picture, uint8 (3, H, W)."""
    return 255 * SPACES[space](picture / 255.0)


def _grey(rgb: np.ndarray) -> np.ndarray:
    return np.tensordot(GREY, rgb, 1)[None]


def _hsv(rgb: np.ndarray) -> np.ndarray:
    """Hue, saturation and value (Smith 1978), in [0, 1]; the hue of a grey is 0."""
    value, low = rgb.max(0), rgb.min(0)
    chroma = value - low
    some = np.where(chroma > 0, chroma, 1)
    red, green, blue = rgb
    by_green, by_blue = 2 + (blue - red) / some, 4 + (red - green) / some
    hue = np.where(value == red, (green - blue) / some % 6, np.where(value == green, by_green, by_blue)) / 6
    return np.stack([np.where(chroma > 0, hue, 0), chroma / np.where(value > 0, value, 1), value])


def _lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b*: L over 100, a and b from [-128, 127]."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = np.tensordot(TO_XYZ, linear, 1) / WHITE[:, None, None]
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([1.16 * y - 0.16, (500 * (x - y) + 128) / 255, (200 * (y - z) + 128) / 255])


def _rg_intensity(rgb: np.ndarray) -> np.ndarray:
    """Red and green over the sum of all, and the intensity (van de Sande et al. 2010)."""
    total = rgb.sum(0)
    return np.stack([*(rgb[:2] / np.where(total > 0, total, 1)), _grey(rgb)[0]])


SPACES: dict[Space, Callable[[np.ndarray], np.ndarray]] = {
    "rgb": lambda rgb: rgb,
    "hsv": _hsv,
    "lab": _lab,
    "rgi": _rg_intensity,
    "hue": lambda rgb: _hsv(rgb)[:1],
    "grey": _grey,
}
