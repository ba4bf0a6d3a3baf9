"""What lies below a folder, looked at once: its images and its other files, for readers that find their own places."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lightloom.core.errors import UserError
from lightloom.core.text import first_of, line
from lightloom.data.images.layout import NO_FOLDERS, SUFFIXES, SplitName, part_named

MOST_FILES, MOST_DEPTH = 5_000_000, 32  # below a folder, and of folders in one another
SHOWN = 6  # folders in a message


@dataclass(frozen=True)
class Listing:
    """The files below `root`, sorted, hidden ones left out; a link to a folder is followed."""

    root: Path
    files: tuple[Path, ...]

    @cached_property
    def images(self) -> list[Path]:
        return self.of(*SUFFIXES)

    def of(self, *suffixes: str) -> list[Path]:
        """The files with one of these suffixes, which are written small."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def below(self, folder: Path) -> Listing:
        """What lies in one of its folders."""
        return Listing(folder, tuple(path for path in self.files if path.is_relative_to(folder)))

    def said(self) -> str:
        """What was seen, for a message: each folder with its files by suffix."""
        counts = Counter((path.parent, path.suffix.lower() or path.name) for path in self.files)
        folders: dict[Path, list[str]] = {}
        for (folder, suffix), count in sorted(counts.items(), key=lambda item: (str(item[0][0]), -item[1])):
            folders.setdefault(folder, []).append(f"{count} {suffix}")
        told = [f"{self.named(folder)} ({', '.join(kinds[:3])})" for folder, kinds in folders.items()]
        return f"it has {line(first_of(told, SHOWN))}" if told else "it has no files"

    def named(self, path: Path) -> str:
        """A folder or file by its place below the root."""
        inside = path.relative_to(self.root).as_posix()
        return "the folder itself" if inside == "." else inside + "/" * path.is_dir()


def list_folder(root: Path) -> Listing:
    """All files below a folder; UserError where there is no such folder, or no end to it."""
    if not root.is_dir():
        raise UserError(f"data.root={root}: there is no such folder; set data.root to the folder that has the data.")
    found: list[Path] = []
    for path in _walk(root, (), 0):
        found.append(path)
        if len(found) > MOST_FILES:
            raise UserError(f"{root}: has more than {MOST_FILES:,} files; set data.root to a folder inside.")
    return Listing(root, tuple(sorted(found)))


def _walk(folder: Path, above: tuple[str, ...], depth: int) -> Iterator[Path]:
    """Files in and below a folder. above: the true places of the folders that lead here, by which a circle is seen."""
    place = os.path.realpath(folder)
    if place in above or depth > MOST_DEPTH:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in NO_FOLDERS:
                continue
            kind = _kind(entry)
            if kind == "folder":
                yield from _walk(folder / entry.name, (*above, place), depth + 1)
            elif kind == "file":
                yield folder / entry.name


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, or nothing: for a pipe, a device, and a link that leads nowhere or in a circle."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:
        return ""


def part_of(path: Path, root: Path) -> SplitName | None:
    """The split that a folder on the way from `root` to a file is named after, `train2017` too; None where none is."""
    words = [part_named(word) for word in path.relative_to(root).parts[:-1]]
    return next((word for word in reversed(words) if word), None)


def parts_said(paths: Iterable[Path], root: Path) -> str:
    """`, in parts train, val` for files that lie in folders of such names, else nothing."""
    parts: Sequence[str] = list(dict.fromkeys(filter(None, (part_of(path, root) for path in paths))))
    return f", in parts {', '.join(parts)}" if parts else ""
