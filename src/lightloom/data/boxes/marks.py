"""By what an annotation file is known: words near its beginning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lightloom.ops.indices import evenly

BEGINNING, LOOKED_AT = 1 << 14, 200  # bytes of a file, and files


def marked(paths: Sequence[Path], *patterns: str) -> list[Path]:
    """The files whose beginning has a match of each of the patterns. Of many files, evenly LOOKED_AT decide for all."""
    compiled = [re.compile(pattern.encode()) for pattern in patterns]
    looked_at = [paths[i] for i in evenly(len(paths), LOOKED_AT)]
    found = [path for path in looked_at if all(one.search(beginning(path)) for one in compiled)]
    return found if len(looked_at) == len(paths) or not found else list(paths)


def beginning(path: Path) -> bytes:
    """The first bytes of a file; none of one that cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(BEGINNING).replace(b"\0", b"")  # UTF-16 is told from its letters too
    except OSError:
        return b""
