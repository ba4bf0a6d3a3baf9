"""What is read of foreign files at most, looked at before it is read; an environment variable raises each limit."""

from __future__ import annotations

import stat
from pathlib import Path

from lightloom.core.environment import variable
from lightloom.core.errors import UserError
from lightloom.core.text import megabytes

MOST_PIXELS = "LIGHTLOOM_MAX_PIXELS"
MOST_BYTES = "LIGHTLOOM_MAX_BYTES"
DEFAULTS = {MOST_PIXELS: 40_000_000, MOST_BYTES: 1 << 30}


def limit(name: str) -> int:
    """The limit of that name: the environment's, or the default. Raises UserError where it is no number."""
    text = variable(name) or str(DEFAULTS[name])
    if not text.isdecimal():
        raise UserError(f"{name}={text}: expected a whole number; unset it for {DEFAULTS[name]}.")
    return int(text)


def check_pixels(path: object, width: int, height: int, most: int | None = None) -> None:
    """Raise UserError where a picture has more pixels than may be decoded (`most`, or what the limit is): a small file
    can hold any number.
    """
    if width * height > (most := most or limit(MOST_PIXELS)):
        raise UserError(
            f"{path}: has {width} x {height} pixels, more than the {most:,} that are decoded; make it smaller, or set "
            f"the environment variable {MOST_PIXELS}={width * height} where you trust it"
        )


def check_bytes(path: Path, most: int | None = None) -> None:
    """Raise UserError where a file is no plain file, or has more bytes than are read (`most`, or what the limit is)."""
    found, allowed = path.stat(), limit(MOST_BYTES)
    most = allowed if most is None else max(most, allowed if variable(MOST_BYTES) else 0)
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: is no file that can be read as a whole; put a plain file there")
    if found.st_size > most:
        raise UserError(
            f"{path}: has {megabytes(found.st_size)}, more than the {megabytes(most)} that are read; cut it, or set "
            f"the environment variable {MOST_BYTES}={found.st_size} where you trust it"
        )
