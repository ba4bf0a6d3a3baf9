"""Which image files of a split cannot be read, found before the first step and not by the batch that meets one."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from lightloom.core import atomic_io, run_dir
from lightloom.core.limits import check_pixels
from lightloom.data.cache import fingerprint

DECODED = 500  # files that are read to their last pixel; of the others the header, and those without their end
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL = 4096  # bytes in which the end is looked for: some programs write after it
log = logging.getLogger("lightloom")


def unreadable(paths: Sequence[Path], folder: Path | None = None) -> dict[Path, str]:
    """Path -> what is wrong with it, of the files that cannot be read.

    Remembered below `folder` for as long as no file's name, size or time changes.
    """
    known = folder / f"{fingerprint(paths, 'unreadable', DECODED)}.json" if folder else None
    if known and known.is_file():
        seen = run_dir.read_json(known, {"nothing": "the file is damaged"})
        if all(place.isdecimal() and int(place) < len(paths) for place in seen):
            return {paths[int(place)]: str(said) for place, said in seen.items()}
    every = max(1, -(-len(paths) // DECODED))
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(_fault, paths, (i % every == 0 for i in range(len(paths)))))
    found = {place: fault for place, fault in enumerate(said) if fault}
    if known:
        try:
            atomic_io.write_text(known, json.dumps(found) + "\n")
        except OSError as error:
            log.debug("%s: what was seen of the images is not remembered (%s)", known, error)
    return {paths[place]: fault for place, fault in found.items()}


def _fault(path: Path, decode: bool) -> str | None:
    """What is wrong with the file; None where nothing was seen."""
    try:
        with Image.open(path) as image:
            check_pixels(path, *image.size)
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
