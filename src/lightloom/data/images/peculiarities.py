"""What is peculiar in files that can be read: 12 bits in files of 16, and more pictures in one file than are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from lightloom.core.limits import check_pixels
from lightloom.core.text import first_of, line
from lightloom.ops.indices import evenly

LOOKED_AT = 200  # files, evenly of those that may be so
DEEP = {".pgm", ".png", ".tif", ".tiff"}  # may have more than 8 bits
MOVING = {".avif", ".gif", ".png", ".tif", ".tiff", ".webp"}  # may have several pictures
FULL, HALF = 65535, 32767  # of 16 bits: the largest value, and the one above which the range is used


def peculiarities(paths: Sequence[Path]) -> Iterator[str]:
    """A note for each kind. Files that cannot be read are left to others."""
    some = [path for path in paths if path.suffix.lower() in DEEP | MOVING]
    some = [some[i] for i in evenly(len(some), LOOKED_AT)]
    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(_look, some))
    looked = f" of {len(some):,} looked at" if len(some) == LOOKED_AT else ""
    largest = max((most for most, _ in seen), default=0)
    deep = sum(most > 0 for most, _ in seen)
    if 0 < largest <= HALF:
        yield (
            f"{deep:,}{looked} have 16 bits and no value above {largest:,} of {FULL:,}: they are read as dark as that; "
            f"multiply them by {(FULL + 1) // (1 << largest.bit_length())}"
        )
    moving = [path for path, (_, is_moving) in zip(some, seen, strict=True) if is_moving]
    if moving:
        names = first_of([line(path.name) for path in moving], 3)
        yield f"{len(moving):,}{looked} have several pictures, of which the first is used ({names})"


def _look(path: Path) -> tuple[int, bool]:
    """The largest value of an image of 16 bits, else 0; are there several pictures in the file?"""
    try:
        with Image.open(path) as image:
            is_moving = bool(getattr(image, "is_animated", False))
            if not image.mode.startswith("I"):
                return 0, is_moving
            check_pixels(path, *image.size)
            return int(np.asarray(image).max()), is_moving
    except Exception:  # decoders raise what they please; `unreadable` names the file
        return 0, False
