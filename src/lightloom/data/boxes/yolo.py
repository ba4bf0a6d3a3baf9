"""YOLO's text files: a line `class x_centre y_centre width height` per object, as shares of the image's sides."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from lightloom.core.documents import read_text, read_yaml
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.schema import (
    LARGEST,
    anything,
    check,
    either,
    entries,
    items,
    nothing,
    one_of,
    real,
    table,
    text,
    whole,
)
from lightloom.data.boxes.annotations import AnnotatedImages, Annotation, annotation, elsewhere
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.places import check_inside, straight
from lightloom.data.boxes.validation import open_files
from lightloom.data.images.readers import SplitName, image_files
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "yolo", "YOLO"
LINE = r"\A(\xef\xbb\xbf)?\s*\d+(\.0+)?( +|\t)[-+.\de]+( +|\t)[-+.\de]+( +|\t)[-+.\de]+( +|\t)[-+.\de]+"  # a box
PLACES = ("images/{0}", "images/{0}2017", "{0}/images")
log = logging.getLogger("lightloom")
MOST_LABELS = 10_000_000  # bytes of one image's file
NAME = either(text(), real, one_of(True, False))  # YAML takes `no` and `1` for something else
PLACES_OF_IMAGES = either(nothing, text(), items(text()))
CONTENT = entries(
    {},
    {
        "names": either(nothing, items(NAME, of="names"), table(whole(0, 1_000_000), NAME)),
        **dict.fromkeys(("train", "val", "valid", "test"), PLACES_OF_IMAGES),
        "path": either(nothing, text()),
        "nc": anything,
    },
)
NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def annotation_files(listing: Listing) -> list[Path]:
    """The text files that begin with a box and are called as an image is."""
    stems = {path.stem for path in listing.images}
    return marked([path for path in listing.of(".txt") if path.stem in stems], LINE)


@part
class Yolo:
    """images/ and labels/ below `root`, with a data.yaml (names, train, val, test) or, without one, folders by split.

    An image's labels are in the file of its name, `images` in its path replaced by `labels`; without such a file the
    image holds nothing. A line with more than five numbers is a polygon, whose extent is the box. file: the YAML.
    """

    has_masks = False

    def __init__(self, root: str | Path, channels: int = 3, file: str | None = None) -> None:
        self.root, self.channels, self.file = Path(root), channels, file

    @cached_property
    def classes(self) -> list[str]:
        names = self._facts.get("names")
        if isinstance(names, dict):
            if sorted(names) != list(range(len(names))):
                raise UserError(f"{self.root}: names count {sorted(names)[:5]}...; expected 0 to {len(names) - 1}")
            return [str(names[i]) for i in range(len(names))]
        if names:
            return list(map(str, names))
        if (self.root / "classes.txt").is_file():
            return read_text(self.root / "classes.txt").rstrip().split("\n")
        train = self._images("train") or []
        most = max((int(row[0]) for path in train for row in _rows(_label_file(path))[0]), default=-1)
        return [str(i) for i in range(most + 1)]

    def read(self, split: SplitName) -> AnnotatedImages | None:
        paths = self._images(split)
        if paths is None:
            if split == "train":
                raise UserError(
                    f"data set {self.root.name}: no data.yaml, images/train, train/images or images in {self.root}; "
                    + elsewhere(self.root)
                )
            return None
        files = open_files(paths, decode=False)
        found = [self._annotation(path, file.height, file.width) for path, file in zip(paths, files, strict=True)]
        return AnnotatedImages(found, self.channels, labelled=any(_label_file(path).is_file() for path in paths))

    def _annotation(self, path: Path, height: int, width: int) -> Annotation:
        rows, empty = _rows(_label_file(path))
        boxes, notes = [], ["empty"] if empty else []
        for row in rows:
            xs, ys = row[1::2], row[2::2]
            if len(row) == 5:
                (x, w), (y, h) = xs, ys
                xs, ys = [x - w / 2, x + w / 2], [y - h / 2, y + h / 2]
            if max(*xs, *ys) > 2:
                notes.append("in_pixels")
            boxes.append([min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height])
            if len(row) == 5 and min(row[3:]) <= 0:  # an extent has no sign
                boxes[-1] = [boxes[-1][0], boxes[-1][1], boxes[-1][0], boxes[-1][1]]
        return annotation(path.name, path, boxes, [int(row[0]) + 1 for row in rows], notes=tuple(dict.fromkeys(notes)))

    @cached_property
    def _facts(self) -> dict[str, Any]:
        files = [self.root / self.file] if self.file else [self.root / "data.yaml", *sorted(self.root.glob("*.yaml"))]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            if self.file:
                raise UserError(f"data.reader.file={self.file}: there is no {files[0]}")
            return {}
        facts = check(read_yaml(file), CONTENT, file)
        base = straight(self.root / (facts.get("path") or "."))
        if base.exists() and not base.is_relative_to(straight(self.root)):
            log.warning("%s: its images may lie in %s too, which it names as its path.", file, base)
        return facts

    def _images(self, split: SplitName) -> list[Path] | None:
        """The images of a split, or None; a text file lists them, a folder holds them."""
        stated = self._facts.get(split) or (self._facts.get("valid") if split == "val" else None)
        places = self._stated_places(stated) if stated else self._usual_places(split)
        if stated and not places and split == "train":
            raise UserError(f"{self.root}: its YAML says train: {stated}, which does not exist there")
        found = [image for place in places for image in _listed(place)]
        check_inside(found, self._bases, self.root)
        return found if places else None

    @property
    def _bases(self) -> list[Path]:
        """The folders below which images may lie: the data's own, and the one that its YAML names as its path."""
        return [self.root, self.root / (self._facts.get("path") or ".")]

    def _stated_places(self, stated: Any) -> list[Path]:
        """Files and folders that the YAML names and that are there; exports write `../` for a folder beside it."""
        entries = stated if isinstance(stated, list) else [stated]
        found = [base / str(entry).removeprefix("../") for entry in entries for base in reversed(self._bases)]
        places = list(dict.fromkeys(straight(place) for place in found if place.exists()))
        check_inside(places, self._bases, self.root)
        return places

    def _usual_places(self, split: SplitName) -> list[Path]:
        """The first folder in which tools put a split; for training a folder of images without splits will do."""
        usual = [self.root / place.format(name) for place in PLACES for name in NAMES[split]]
        if split == "train":
            usual.append(self.root / "images")
        return [place for place in usual if place.is_dir()][:1]


def _listed(place: Path) -> list[Path]:
    if place.is_dir():
        return image_files(place)
    lines = read_text(place).split("\n")
    return [straight(place.parent / line.strip()) for line in lines if line.strip()]


def _label_file(image: Path) -> Path:
    """labels/x.txt for images/x.jpg, by the last folder of that name; beside the image where there is none."""
    parts = list(image.parts[:-1])
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts) / f"{image.stem}.txt"


def _rows(path: Path) -> tuple[list[list[float]], bool]:
    """The numbers of each line, and is the file there, but empty?"""
    if not path.is_file():
        return [], False
    rows = []
    for number, line in enumerate(read_text(path, MOST_LABELS).splitlines(), 1):
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = [0.0]
        if row and (len(row) < 5 or len(row) % 2 == 0 or row[0] % 1 != 0 or abs(row[0]) > LARGEST):
            raise UserError(f"{path}, line {number}: {line[:60]!r}; expected `class x_centre y_centre width height`")
        rows += [row] if row else []
    return rows, not rows
