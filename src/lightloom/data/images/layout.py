"""Where the parts and the classes of a folder of images are, as people and programs lay them out, and what is left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lightloom.core.errors import UserError
from lightloom.core.text import first_of, line
from lightloom.data.images.pixels import HEIF

SplitName = Literal["train", "val", "test"]
PARTS: tuple[SplitName, ...] = ("train", "val", "test")
SUFFIXES = {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga"}
SUFFIXES |= {".tif", ".tiff", ".webp", *HEIF}
WORDS: dict[str, SplitName] = {  # for a part, as people call them
    **dict.fromkeys(("train", "training", "trainset", "traindata"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "testdata"), "test"),
}  # fmt: skip
BESIDE = {"data", "dataset", "image", "images", "img", "imgs", "seg", "set", "split"}  # words that say nothing more
NO_FOLDERS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"}  # of systems
NO_FILES = {"Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Layout:
    """root: the folder that holds the parts or the classes. parts: of a split the folder of its classes or images.

    divided: has it parts? notes: what a reader of the folder has to be told.
    """

    root: Path
    parts: dict[SplitName, Path] = field(default_factory=dict)
    divided: bool = False
    notes: tuple[str, ...] = ()


def find_layout(root: Path) -> Layout:
    """The parts of a folder, `Training/`, `seg_test/seg_test/` and `VAL/` too; all of it is training where none is.

    Raises UserError where two folders are one part.
    """
    if not root.is_dir():
        return Layout(root, {"train": root})
    inner = _unwrapped(root)
    told: tuple[str, ...] = (f"read below {inner.relative_to(root).as_posix()}/",) if inner != root else ()
    inside = folders(inner)
    named = _named_parts(inside)
    others = [folder for folder in inside if not part_named(folder.name) and holds_images(folder)]
    if not named or (others and _may_be_a_class(named)):
        return Layout(inner, {"train": inner}, notes=told)
    _check_one_each(inner, named)
    if others:
        told += (f"left out: {first_of([folder.name + '/' for folder in others], 3)}, which is no part",)
    return Layout(inner, {part: _inner(found[0], part) for part, found in named.items()}, True, told)


def _named_parts(inside: Sequence[Path]) -> dict[SplitName, list[Path]]:
    """Of each part the folders that are called so."""
    named: dict[SplitName, list[Path]] = {}
    for folder in inside:
        if part := part_named(folder.name):
            named.setdefault(part, []).append(folder)
    return named


def _may_be_a_class(named: dict[SplitName, list[Path]]) -> bool:
    """Is there one name only, without classes below it? A class may be called `train`, beside `bus`."""
    return len(named) == 1 and not any(map(_has_classes, *named.values()))


def _check_one_each(inner: Path, named: dict[SplitName, list[Path]]) -> None:
    for part, found in named.items():
        if len(found) > 1:
            names = " and ".join(folder.name for folder in found)
            raise UserError(f"{inner}: {names} are both {part} data; rename one of them, or put them together")


def part_named(name: str) -> SplitName | None:
    """The split that a folder of this name is, such as `Training`, `test_set` or `train2017`; None where it is none."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    words = [word.rstrip("0123456789") for word in re.split(r"[\W_]+", spaced.lower())]
    left = [word for word in words if word and word not in BESIDE]
    return WORDS.get(left[0]) if len(left) == 1 else None


def _unwrapped(root: Path) -> Path:
    """The folder with the parts or classes, where archives have put one folder after another around it."""
    inner = root
    while len(inside := folders(inner)) == 1 and not part_named(inside[0].name) and not _loose(inner):
        inner = inside[0]
    return inner if inside and not _loose(inner) else root


def _inner(folder: Path, part: SplitName) -> Path:
    """The folder with the classes, where a part holds one of its own name: `seg_train/seg_train/`."""
    inside = folders(folder)
    same = len(inside) == 1 and part_named(inside[0].name) == part and not _loose(folder)
    return _inner(inside[0], part) if same else folder


def _has_classes(folder: Path) -> bool:
    return any(map(holds_images, folders(folder)))


def holds_images(folder: Path) -> bool:
    """Is there an image, however deep?"""
    return any(is_image(path, below=folder) for path in folder.rglob("*"))


def _loose(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if is_image(path, below=folder)]


def folders(folder: Path | None) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones and those of systems."""
    if folder is None or not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.is_dir() and path.name not in NO_FOLDERS)
    return sorted(path for path in found if not path.name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """Every image below a folder, hidden files and folders left out."""
    return sorted(path for path in folder.rglob("*") if is_image(path, below=folder))


def is_image(path: Path, below: Path) -> bool:
    """A file whose name says image, not hidden on its way down from `below`."""
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path, below) and path.is_file()


def _is_hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def left_out(folder: Path, taken: Sequence[Path]) -> Iterator[str]:
    """What lies below a folder and is not among the images that are taken: other files by suffix, and loose images."""
    known = set(taken)
    files = [path for path in folder.rglob("*") if path not in known and path.is_file()]
    rest = [path for path in files if not _is_hidden(path, folder) and path.name not in NO_FILES]
    rest = [path for path in rest if NO_FOLDERS.isdisjoint(path.parts)]
    images = [path for path in rest if path.suffix.lower() in SUFFIXES]
    if images:
        beside = first_of([line(path.name) for path in sorted(images)], 3)
        yield f"left out: images beside the class folders, {len(images):,} ({beside})"
    kinds = Counter(line(path.suffix.lower() or "without suffix") for path in rest if path not in set(images))
    if kinds:
        counted = first_of([f"{kind} {count:,}" for kind, count in kinds.most_common()], 4)
        heif = "; pillow-heif reads .heic" if {".heic", ".heif"} & set(kinds) else ""
        yield f"left out: files that are no images ({counted}{heif})"
