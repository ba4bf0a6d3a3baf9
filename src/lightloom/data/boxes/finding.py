"""Which image an annotation is of: by its place, by the name that the annotation states, or by the name alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from lightloom.core.errors import UserError
from lightloom.data.boxes.places import straight
from lightloom.data.listing import part_of

FOLDERS = {"images", "image", "imgs", "img", "jpegimages", "pictures", "photos"}  # as people call those of images
UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of a file


class ImageIndex:
    """The images of a data set, to be found from what its annotations say."""

    def __init__(self, images: Sequence[Path], root: Path, bases: Iterable[Path] = ()) -> None:
        self.root, self.bases = root, list(dict.fromkeys([*bases, root]))
        self.paths = {straight(path): path for path in images}
        self._by_name, self._by_stem = _grouped(images, lambda p: p.name), _grouped(images, lambda p: p.stem)

    def of_stem(self, file: Path, stated: str = "") -> Path | None:
        """The image that an annotation file of its own is called after, else the one that it states.

        Raises UserError where two images are meant alike.
        """
        found = self._by_stem.get(file.stem.lower(), [])
        by_name = [path for path in found if path.name == plain_name(stated).name]
        return self._nearest(by_name or found, file, file.stem) or (self.named(stated, file) if stated else None)

    def named(self, stated: str, file: Path) -> Path | None:
        """The image of a stated name: a path from the file's folder or the data's, else the last word of it.

        Programs write absolute paths of their machine, with `\\` on Windows.
        """
        plain = plain_name(stated)
        for text in (stated, str(plain)):
            for base in (file.parent, *self.bases):
                if found := self._at(straight(base / text)):
                    return found
        for name in (plain.name, UPLOADED.sub("", plain.name)):
            if found := self._nearest(self._by_name.get(name.lower(), []), file, stated):
                return found
        return self._nearest(self._by_stem.get(plain.stem.lower(), []), file, stated)

    def _at(self, path: Path) -> Path | None:
        """The file at this place, where it is one of the data's."""
        if path in self.paths:
            return self.paths[path]
        return path if path.is_relative_to(straight(self.root)) and path.is_file() else None

    def _nearest(self, found: Sequence[Path], file: Path, name: str) -> Path | None:
        """The image that lies nearest to an annotation file, in the same part, in a folder for images."""
        ranked = sorted((self._rank(path, file), path) for path in found)
        if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
            both = ", ".join(path.relative_to(self.root).as_posix() for _, path in ranked[:2])
            raise UserError(f"{file}: {name} may be {both}; rename or delete one of them")
        return ranked[0][1] if ranked else None

    def _rank(self, path: Path, file: Path) -> tuple[bool, int, bool]:
        places = zip(path.parent.parts, file.parent.parts, strict=False)
        shared = next((i for i, (one, other) in enumerate(places) if one != other), None)
        is_beside = path.parent == file.parent
        near = min(len(path.parent.parts), len(file.parent.parts)) if shared is None else shared
        other_part = file.is_relative_to(self.root) and part_of(path, self.root) != part_of(file, self.root)
        return (other_part, 0 if is_beside else -near, not is_beside and path.parent.name.lower() not in FOLDERS)


def plain_name(stated: str) -> PurePosixPath:
    """A stated name with `/` alone: `C:\\a\\b.jpg`, `file:///a/b%20c.jpg`, `/data/local-files/?d=a/b.jpg`."""
    text = stated.replace("\\", "/").rpartition("?d=")[2]
    return PurePosixPath(unquote(text.removeprefix("file://")) if "%" in text else text.removeprefix("file://"))


def _grouped(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[key(path).lower()].append(path)
    return found
