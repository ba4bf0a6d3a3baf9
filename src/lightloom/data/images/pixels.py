"""Pillow's images as 8-bit pixels: which formats there are, and what becomes of their modes. Needs no torch."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import numpy as np
from PIL import Image

from lightloom.core.errors import UserError

HEIF = {".heic", ".heif"} if find_spec("pillow_heif") else set()  # a telephone's, where the library is installed
if HEIF:
    importlib.import_module("pillow_heif").register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit, which nobody could raise: here each picture is looked at


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Any mode of Pillow's as 8-bit grey (channels 1) or RGB (3); transparency lies on white, 16 bits scale to 8.

    An image that is so already is returned itself.
    """
    mode = mode_of(channels)
    if image.mode == "F":
        raise ValueError("pixels are floats of unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def mode_of(channels: int) -> str:
    """Pillow's name for 8-bit pixels of so many channels; UserError where there is none."""
    if channels not in (1, 3):
        raise UserError(f"data.channels is {channels}; expected 1 (grey) or 3 (colour)")
    return "L" if channels == 1 else "RGB"


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """0..65535 -> 0..255, rounded; Pillow's own conversion clips at 255."""
    return ((grey.clip(0, 65535).astype(np.uint32) + 128) // 257).astype(np.uint8)
