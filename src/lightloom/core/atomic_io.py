"""Write files atomically, verify archives, and make names unique. Needs no torch."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

FOLDER = 0x10  # in the attributes of a zip file's member
_writing = 0  # files that are being replaced


@contextlib.contextmanager
def replacing(path: Path, older: Path | None = None, synced: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` once all of it is on the disk; a crash leaves the old one.

    older: the name that the old one is kept under. synced: False leaves the disk to the system, for `sync` later: a
    crash of the process still leaves a whole file, one of the machine may not.
    """
    global _writing
    temporary = path.with_name(f".saving-{path.name}")
    _writing += 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        if older:
            keep(path, older)
        temporary.replace(path)
        if synced:
            _sync(path.parent)
    except OSError as error:  # of a full disk, which does not say where
        if error.errno and not error.filename:
            error.filename = str(path)
        raise
    finally:
        _writing -= 1
        with contextlib.suppress(OSError):
            temporary.unlink()


def is_writing() -> bool:
    """Is a file being replaced in this process?"""
    return _writing > 0


def sync(path: Path) -> None:
    """Have the file, and its name, on the disk."""
    _sync(path)
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write the text in UTF-8 as the whole content of the file, atomically."""
    with replacing(path) as file:
        file.write(text.encode())


def keep(path: Path, older: Path) -> None:
    """Keep the file at `path`, if any, under the name `older` too, before it is replaced."""
    if not path.exists():
        return
    link = older.with_name(f".saving-{older.name}")
    try:
        link.unlink(missing_ok=True)
        link.hardlink_to(path)
        link.replace(older)
        link.unlink(missing_ok=True)  # two names of one file: a rename between them does nothing
    except OSError:
        path.replace(older)  # a file system without links: for a moment, the older name is the only one


def deduplicate(names: Iterable[str]) -> list[str]:
    """Append numbers to repeated names."""
    found: dict[str, None] = {}
    for stem in names:
        name, count = stem, 1
        while name in found:
            count += 1
            name = f"{stem}-{count}"
        found[name] = None
    return list(found)


def damage(path: Path) -> str | None:
    """Verify a zip file of uncompressed members: what is damaged, or None. Raises BadZipFile, EOFError or OSError.

    Checks each member's checksum and the attributes of its entry, which no checksum covers: torch would read one
    that is marked as a folder as memory that nobody wrote.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.external_attr & FOLDER:
                return f"{member.filename} is no plain file"
        broken = archive.testzip()
    return f"{broken} fails its checksum" if broken else None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
