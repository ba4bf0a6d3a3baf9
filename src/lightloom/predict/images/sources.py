"""What `input=` names: images, folders, globs, lists of them, videos, streams and cameras; and folders that fill up."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightloom.core.documents import read_text
from lightloom.core.errors import UserError, not_there
from lightloom.core.text import line
from lightloom.data.images.decode import read_whole
from lightloom.data.images.layout import SUFFIXES, is_image
from lightloom.data.images.readers import is_video
from lightloom.predict.interruption import until_interrupted

log = logging.getLogger("lightloom")
STREAM = re.compile(r"(rtsps?|rtmps?|https?|udp|tcp|srt)://", re.IGNORECASE)
LIST = ".txt"
State = tuple[tuple[int, int], float]  # size and time of change of a file, and since when it has them
POLL = 0.5  # seconds between two looks at a folder that is watched
SETTLED = 10.0  # seconds without a change, after which a file that cannot be read is no longer waited for


@dataclass(frozen=True)
class Sources:
    """images: files, with their `names` as written files call them. videos: files, or addresses of streams and indices
    of cameras, as text. watched: the folder whose images are taken as they come, if any.
    """

    images: list[Path]
    names: list[str]
    videos: list[Path | str]
    watched: Path | None = None

    def rounds(self, idle: float | None) -> Iterator[tuple[list[Path], list[str]]]:
        """All images with their names at once; of a watched folder again and again what has come, until Ctrl-C or until
        nothing came for `idle` seconds.
        """
        if self.images:
            yield self.images, self.names
        if self.watched is not None:
            with until_interrupted() as stopped:
                for paths in arrivals(self.watched, stopped, idle):
                    yield paths, relative_names(self.watched, paths)


def find(where: Any, videos: bool = False, watch: bool = False) -> Sources:
    """What `input=` means, one text or a list of them: of folders and globs sorted, of lists in their order.

    videos: whether they are taken; where they are not, a folder's are left out with a warning. watch: it is a folder,
    whose images are taken as they come. Raises UserError for what is not there, or is nothing of the kind.
    """
    items = items_of(where)
    if watch:
        return Sources([], [], [], _watched(items))
    if not items:
        raise UserError("input=[]: an empty list; name images, folders or videos in it.")
    found = list(dict.fromkeys(one for item in items for one in named(item)))
    images = [one for one in found if isinstance(one, Path) and _is_still(one, videos)]
    films = [one for one in found if not isinstance(one, Path) or not _is_still(one, videos)]
    if films and not videos:
        _leave_out(items, films, bool(images))
    return Sources(images, relative_names(items, images), films if videos else [])


def items_of(where: Any) -> list[str]:
    """What `input=` lists, or the one thing that it is."""
    return [str(item) for item in (where if isinstance(where, Iterable) and not isinstance(where, str) else [where])]


def named(item: str, list_of: Path | None = None) -> list[Path | str]:
    """Files, and what is no file as the text that it is. list_of: the list in which the item stands."""
    if STREAM.match(item) or is_camera(item):
        return [item]
    path = Path(item).expanduser()
    if list_of is not None and not path.is_absolute() and (list_of.parent / path).exists():
        path = list_of.parent / path
    if path.is_file():
        return _listed(path) if path.suffix.lower() == LIST and list_of is None else [path]
    if not (kept := _matching(path, item)):
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(
            f"input={item}: no images there ({kinds}); name an image, a folder or a glob such as 'photos/*.jpg'."
        )
    return list(kept)


def _matching(path: Path, item: str) -> list[Path]:
    """The images and videos in a folder, to its depths, or of a glob. item: as it was written."""
    if path.is_dir():
        return [p for p in sorted(path.rglob("*")) if is_video(p) or is_image(p, below=path)]
    if not set(item) & set("*?["):
        raise not_there("input", item)
    found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    return [p for p in sorted(found) if is_video(p) or is_image(p, below=p.parent)]


def is_camera(where: Any) -> bool:
    """Is it an index, and no file of that name?"""
    return str(where).isdecimal() and not Path(str(where)).exists()


def relative_names(where: Any, images: Sequence[Path]) -> list[str]:
    """The images as seen from the folder that `input=` is, or from the one that they share."""
    items = items_of(where)
    folder = Path(items[0]).expanduser() if len(items) == 1 else None
    if images and (folder is None or not folder.is_dir()):
        whole = [Path(os.path.normpath(path.absolute())) for path in images]
        folder = Path(os.path.commonpath([path.parent for path in whole]))
        return [path.relative_to(folder).as_posix() for path in whole]
    return [path.relative_to(folder).as_posix() for path in images if folder]


def arrivals(folder: Path, stopped: Callable[[], bool], idle: float | None) -> Iterator[list[Path]]:
    """Images that are in a folder or come into it, in its depths too, each once, when it is whole: for ever, until
    `stopped`, or until none came for `idle` seconds.

    A file is whole when it can be read and has not changed between two looks; one that cannot be read is taken
    `SETTLED` seconds after its last change, to be named as unreadable.
    """
    done: set[Path] = set()
    states: dict[Path, State] = {}
    last = time.monotonic()
    while not stopped() and (idle is None or time.monotonic() - last < idle):
        ready = []
        for path in sorted(p for p in folder.rglob("*") if p not in done and is_image(p, below=folder)):
            if _settled(path, states):
                ready.append(path)
                states.pop(path)
        if ready:
            done.update(ready)
            yield ready
            last = time.monotonic()
        else:
            last = time.monotonic() if states else last
            time.sleep(POLL)


def _watched(items: Sequence[str]) -> Path:
    folder = Path(items[0]).expanduser() if len(items) == 1 else None
    if folder is None or not folder.is_dir():
        raise UserError(
            f"watch=true: input={', '.join(items)} is no folder; name the one folder that images come into."
        )
    return folder


def _settled(path: Path, states: dict[Path, State]) -> bool:
    """Is it as it was at the last look, and whole or given up? Notes how it is now."""
    try:
        facts = path.stat()
    except OSError:  # it went away between two looks
        states.pop(path, None)
        return False
    now = (facts.st_size, facts.st_mtime_ns)
    before, since = states.get(path, (None, 0.0))
    if before != now:
        states[path] = (now, time.monotonic())
        return False
    return _is_whole(path) or time.monotonic() - since > SETTLED


def _is_whole(path: Path) -> bool:
    try:
        read_whole(path, 3)
    except UserError:
        return False
    return True


def _listed(path: Path) -> list[Path | str]:
    """What the lines of a list name, relative to its folder or to where the command was given."""
    found: list[Path | str] = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        try:
            found += named(text.strip(), path)
        except UserError as error:
            raise UserError(f"input={path}, line {number}: {str(error).removeprefix('input=')}") from None
    if not found:
        raise UserError(f"input={path}: the list is empty; write the path of an image or a video on each line.")
    return found


def _is_still(path: Path, videos: bool) -> bool:
    """An image; a file of another name is a video to who takes videos."""
    return path.suffix.lower() in SUFFIXES if videos else not is_video(path)


def _leave_out(items: Sequence[str], films: Sequence[Path | str], has_images: bool) -> None:
    where = ", ".join(items)
    if has_images:
        log.warning("input=%s: %d video(s) are left out; name images.", line(where), len(films))
        return
    if len(items) == len(films) == 1 and not Path(items[0]).is_dir():
        raise UserError(f"input={where}: a video, in which only detectors find something; name images.")
    shown = ", ".join(map(str, films[:3]))
    raise UserError(f"input={where}: there are videos ({shown}), in which only detectors find something; name images.")
