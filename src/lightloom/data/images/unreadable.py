"""Which image files of a split cannot be read, found before the first step and not by the batch that meets one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL

from lightloom.core.limits import MOST_PIXELS, limit
from lightloom.data.cache import faults_unless_known_clean, fingerprint
from lightloom.data.images.decode import open_image

DECODED = 500  # files that are read to their last pixel; of the others the header, and those without their end
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL = 4096  # bytes in which the end is looked for: some programs write after it


def unreadable(paths: Sequence[Path], image_size: int, folder: Path | None = None) -> dict[Path, str]:
    """Path -> what is wrong with it, of the files that cannot be read as images of that size.

    Where none was found this is remembered below `folder`, for as long as no file's name, size or time changes. Of
    many files the first look takes a while: each is opened.
    """
    looked_for = ("readable", DECODED, image_size, limit(MOST_PIXELS), PIL.__version__)
    known = folder / f"{fingerprint(paths, *looked_for)}.readable" if folder else None
    return faults_unless_known_clean(known, lambda: _look(paths, image_size))


def _look(paths: Sequence[Path], image_size: int) -> dict[Path, str]:
    every = max(1, -(-len(paths) // DECODED))
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(_fault, paths, (i % every == 0 for i in range(len(paths))), [image_size] * len(paths)))
    return {path: fault for path, fault in zip(paths, said, strict=True) if fault}


def _fault(path: Path, decode: bool, image_size: int) -> str | None:
    """What is wrong with the file; None where nothing was seen."""
    try:
        with open_image(path, image_size) as image:
            end = ENDS.get(str(image.format))
            if decode or (end and end not in _tail(path)):
                image.load()
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read()
