"""YOLO's text files: a line `class x_centre y_centre width height` per object, as shares of the image's sides."""

from __future__ import annotations

from collections import Counter
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
from lightloom.core.text import first_of
from lightloom.data.boxes.finding import plain_name
from lightloom.data.boxes.layouts import SPLITS, Layout, Record, Thing
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.outlines import corners, polygon
from lightloom.data.boxes.places import check_inside, leading_out, straight
from lightloom.data.boxes.validation import open_files
from lightloom.data.images.readers import SplitName, image_files
from lightloom.data.listing import Listing, part_of

CHOICE, LAYOUT = "yolo", "YOLO"
NUMBER = r"( +|\t)[-+.\deE]+"
LINE = rf"\A(\xef\xbb\xbf)?\s*\d+(\.0+)?{NUMBER * 4}"  # a box
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
LISTS_OF_NAMES = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "labels.txt")
SCORED = 6  # numbers of a line that ends with a score, as predictions have them


def annotation_files(listing: Listing) -> list[Path]:
    """The text files that begin with a box and are called as an image is."""
    stems = {path.stem for path in listing.images}
    return marked([path for path in listing.of(".txt") if path.stem in stems], LINE)


@part
class Yolo(Layout):
    """images/ and labels/, or labels beside the images, with a data.yaml (names, train, val, test) or without.

    An image's labels are in the file of its name, `images` in its path replaced by `labels`, or else beside it; without
    such a file the image holds nothing. A line with more than six numbers is a polygon, whose extent is the box and
    which is a mask where all objects have one; a sixth number is a score, which is left out. Without data.yaml parts
    are folders of such names. file: the YAML.
    """

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        file: str | None = None,
        images: str | None = None,
        annotations: str | None = None,
    ) -> None:
        super().__init__(root, channels, images, annotations)
        self.file = file
        self._counted: dict[SplitName, dict[Path, Path]] = {}

    # --- classes

    def stated_classes(self) -> list[str]:
        if not self._images("train"):
            raise self.nothing_found("images of training with labels")
        if not self._labelled("train"):
            raise self.nothing_found("label file (labels/*.txt, or beside the image) for its images of training")
        return list(dict.fromkeys(self._names.values()))

    @cached_property
    def _names(self) -> dict[int, str]:
        """class id -> name: of data.yaml, of a list of names, or the numbers themselves."""
        names = self._facts.get("names")
        if isinstance(names, dict):
            return self._of_table({int(number): str(name).strip() for number, name in names.items()})
        listed = [str(name).strip() for name in names] if names else self._listed_names
        found = self._ids
        if listed and min(found, default=0) == 1 and max(found) == len(listed):
            raise UserError(
                f"{self.root}: class ids in its labels run from 1 to {len(listed)}, and its {len(listed)} names count "
                f"from 0; subtract 1 from the ids, or write names as `1: {listed[0]}` in data.yaml"
            )
        if listed:
            return dict(enumerate(listed))
        numbers = range(max(found, default=-1) + 1)
        self.tell("{} classes have no names, no data.yaml or classes.txt has any; they are called by number", numbers)
        return {number: str(number) for number in numbers}

    def _of_table(self, names: dict[int, str]) -> dict[int, str]:
        if sorted(names) != list(range(len(names))):
            self.tell("{} names do not count from 0; class ids are taken as they say", [*names.items()])
        return dict(sorted(names.items()))

    @cached_property
    def _listed_names(self) -> list[str]:
        """Of a file with a name in each line: in the folder, with the labels, or beside the images."""
        found = [path for path in self.listing.files if path.name.lower() in LISTS_OF_NAMES]
        found.sort(key=lambda path: (LISTS_OF_NAMES.index(path.name.lower()), len(path.parts), path))
        contents = {tuple(map(str.strip, read_text(path).rstrip().splitlines())): path for path in found}
        if len(contents) > 1:
            files = first_of([self.listing.named(path) for path in contents.values()], 3)
            raise UserError(f"{self.root}: {files} name classes, and not the same; delete all but one")
        return list(next(iter(contents), ()))

    @cached_property
    def _ids(self) -> Counter[int]:
        """class id -> how often all labels have it."""
        files = (file for split in SPLITS for file in self._labelled(split).values())
        return Counter(int(row[0]) for file in files for row in _rows(file)[0])

    # --- images

    def records(self, split: SplitName) -> list[Record] | None:
        paths = self._images(split)
        if paths is None:
            return None
        files = open_files(paths, decode=False)
        is_labelled = bool(self._labelled(split))
        return [
            self._record(path, file.height, file.width, split, is_labelled)
            for path, file in zip(paths, files, strict=True)
        ]

    @cached_property
    def _facts(self) -> dict[str, Any]:
        file = self._yaml
        if file is None:
            return {}
        facts = check(read_yaml(file), CONTENT, file)
        base = straight(self.root / (facts.get("path") or "."))
        if base.exists() and not base.is_relative_to(straight(self.root)):
            self.tell("its images may lie elsewhere too, in the path of its data.yaml", [base])
        return facts

    @cached_property
    def _yaml(self) -> Path | None:
        if self.file:
            if not (self.root / self.file).is_file():
                raise UserError(f"data.reader.file={self.file}: there is no {self.root / self.file}")
            return self.root / self.file
        files = sorted(self.listing.of(".yaml", ".yml"), key=lambda path: (len(path.parts), path))
        usual = [path for path in files if path.stem == "data"] + [path for path in files if path.parent == self.root]
        return usual[0] if usual else None

    @cached_property
    def _of_parts(self) -> dict[SplitName, list[Path]]:
        """The images of each split: as data.yaml says, or by folders."""
        stated = {split: self._facts.get(split) for split in SPLITS}
        stated["val"] = stated["val"] or self._facts.get("valid")
        if self.images is None and any(stated.values()):
            named = {split: self._stated(split, stated[split]) for split in SPLITS if stated[split]}
            return {split: paths for split, paths in named.items() if paths}
        found: dict[SplitName, list[Path]] = {}
        for path in self._all_images():
            found.setdefault(part_of(path, self.root) or "train", []).append(path)
        return found

    def _images(self, split: SplitName) -> list[Path] | None:
        return self._of_parts.get(split)

    def _all_images(self) -> list[Path]:
        """Those in folders called `images`; else those of folders in which some image has labels."""
        every = list(self.index.paths.values())
        own = every if self.images else [path for path in every if "images" in path.relative_to(self.root).parts]
        if own:
            return own
        folders = {path.parent for path in every if self._label_of(path)}
        return [path for path in every if path.parent in folders]

    def _stated(self, split: SplitName, stated: Any) -> list[Path]:
        """The images of the files and folders that the YAML names."""
        places = [place for entry in (stated if isinstance(stated, list) else [stated]) for place in self._place(entry)]
        if not places and split == "train":
            raise UserError(f"{self.root}: its YAML says train: {stated}, which does not exist there; correct the YAML")
        check_inside(places, self._bases, self.root)
        found = [image for place in places for image in self._of_place(place)]
        check_inside(found, self._bases, self.root)
        return list(dict.fromkeys(found))

    @property
    def _bases(self) -> list[Path]:
        """The folders below which images may lie: the data's own, and the one that its YAML names as its path."""
        own = self._yaml.parent if self._yaml else self.root
        return [self.root, *dict.fromkeys([own, own / (self._facts.get("path") or ".")])]

    def _place(self, entry: str) -> list[Path]:
        """Where a file or folder that the YAML names is: exports write `../` for a folder beside it, and notebooks the
        path of their machine, of which the end may be here.
        """
        plain = plain_name(entry)
        texts = [str(plain), str(plain).removeprefix("../")]
        if plain.is_absolute():
            texts += ["/".join(plain.parts[i:]) for i in range(1, len(plain.parts))]
        there = [path for text in texts for base in reversed(self._bases) if (path := straight(base / text)).exists()]
        inside = [path for path in there if self._is_inside(path)]
        return inside[:1] or there[:1]

    def _is_inside(self, path: Path) -> bool:
        return any(straight(path).is_relative_to(straight(base)) for base in self._bases)

    def _of_place(self, place: Path) -> list[Path]:
        if place.is_dir():
            return image_files(place)
        lines = [line.strip() for line in read_text(place).splitlines() if line.strip()]
        found = {line: self._listed_image(line, place) for line in lines}
        if missing := [line for line, path in found.items() if path is None]:
            check_inside(leading_out(missing, place.parent), self._bases, self.root, len(lines))
            raise self.missing(missing, len(lines), place)
        return [path for path in found.values() if path is not None]

    def _listed_image(self, line: str, place: Path) -> Path | None:
        at = [straight(base / str(plain_name(line))) for base in (place.parent, *self._bases)]
        there = [path for path in at if path.is_file() and self._is_inside(path)]
        return there[0] if there else self.index.named(line, place)

    # --- labels

    def _labelled(self, split: SplitName) -> dict[Path, Path]:
        """image -> its label file, of those that have one. Raises UserError where two images share one."""
        if split not in self._counted:
            found = {path: file for path in self._images(split) or [] if (file := self._label_of(path))}
            shared = Counter(found.values())
            if twice := [path for path, file in found.items() if shared[file] > 1]:
                names = first_of([path.name for path in twice], 4)
                raise UserError(f"{found[twice[0]]}: {names} share these labels; rename or delete one of the images")
            self._counted[split] = found
        return self._counted[split]

    def _label_of(self, image: Path) -> Path | None:
        """labels/x.txt for images/x.jpg, by the last folder of that name; else beside the image."""
        name = f"{image.stem}.txt"
        places = [image.parent / name]
        parts = image.relative_to(self.root).parts[:-1] if image.is_relative_to(self.root) else image.parts[:-1]
        base = self.root if image.is_relative_to(self.root) else Path()
        if "images" in parts:
            last = len(parts) - 1 - parts[::-1].index("images")
            places.insert(0, base.joinpath(*parts[:last], "labels", *parts[last + 1 :], name))
        if self.annotations:
            folder, below = straight(self.root / self.annotations), part_of(image, self.root)
            places = [folder / (below or ""), folder]
            places = [place / name for place in places]
        return next((place for place in places if place.is_file() and place.name not in LISTS_OF_NAMES), None)

    def _record(self, image: Path, height: int, width: int, split: SplitName, is_labelled: bool) -> Record:
        file = self._labelled(split).get(image)
        rows, is_empty = _rows(file) if file else ([], False)
        notes = ["empty"] if is_empty else []
        things = [self._thing(row, height, width, image) for row in rows]
        if any(max(map(abs, row[1:])) > 2 for row in rows):
            notes.append("in_pixels")
        return Record(image, things, file, is_labelled=is_labelled, notes=tuple(notes))

    def _thing(self, row: list[float], height: int, width: int, image: Path) -> Thing:
        name = self._names.get(int(row[0]))
        if len(row) == SCORED:
            self.leave_out("{} scores, in a sixth column as predictions have them, are left out", image.name)
        if len(row) <= SCORED:
            x, y, w, h = row[1:5]
            return Thing(name, [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height])
        xs, ys = [x * width for x in row[1::2]], [y * height for y in row[2::2]]
        return Thing(name, corners(xs, ys), outline=[polygon(xs, ys)])


def _rows(path: Path) -> tuple[list[list[float]], bool]:
    """The numbers of each line, and is the file empty?"""
    rows = []
    for number, line in enumerate(read_text(path, MOST_LABELS).splitlines(), 1):
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = [0.0]
        is_odd = len(row) != SCORED and len(row) % 2 == 0
        if row and (len(row) < 5 or is_odd or row[0] % 1 != 0 or not 0 <= row[0] <= LARGEST):
            raise UserError(f"{path}, line {number}: {line[:60]!r}; expected `class x_centre y_centre width height`")
        rows += [row] if row else []
    return rows, not rows
