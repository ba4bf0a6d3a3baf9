"""What is read of foreign files at most, looked at before it is read; an environment variable raises each limit."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from os import stat_result
from pathlib import Path

from lightloom.core.environment import variable
from lightloom.core.errors import LIMITS, UserError
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


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """UserError, with the file's name, for what the system says of one that it cannot read: a link to nowhere or in a
    circle, a folder, a broken disk. One that is not there stays a FileNotFoundError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in LIMITS or (isinstance(error, FileNotFoundError) and not path.is_symlink()):
            raise
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); put a whole file there") from error


def check_plain(path: Path) -> stat_result:
    """What the system says of a file; UserError where it is none that ends: a folder, a pipe, a device."""
    with reading(path):
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: is no file that can be read as a whole; put a plain file there")
    return found


def check_bytes(path: Path, most: int | None = None) -> None:
    """Raise UserError where a file is no plain file, or has more bytes than are read (`most`, or what the limit is)."""
    found, allowed = check_plain(path), limit(MOST_BYTES)
    most = allowed if most is None else max(most, allowed if variable(MOST_BYTES) else 0)
    if found.st_size > most:
        raise UserError(
            f"{path}: has {megabytes(found.st_size)}, more than the {megabytes(most)} that are read; cut it, or set "
            f"the environment variable {MOST_BYTES}={found.st_size} where you trust it"
        )
