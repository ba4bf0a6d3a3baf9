"""Masks beside images, as people and tools lay them out: two folders, lists of pairs, Pascal VOC, Cityscapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from lightloom.core import cells
from lightloom.core.documents import read_text
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Natural, checked
from lightloom.data.images.layout import folders, part_named
from lightloom.data.images.readers import SplitName, image_files
from lightloom.data.masks.decode import Colour, read_mask
from lightloom.data.masks.split import Coding, MaskFiles

IMAGES = ("images", "image", "imgs", "img", "jpegimages", "leftimg8bit")
MASKS = ("masks", "mask", "labels", "label", "annotations", "annots", "gt", "segmentationclass", "gtfine")
WORDS = ("mask", "masks", "label", "labels", "annot", "gt", "l", "seg", "segmentation")
BESIDE = [f"{mark}{word}" for mark in ("", "_") for word in WORDS]  # train and trainannot
SUFFIXES = ["", *(f"{mark}{word}" for mark in "_-" for word in WORDS)]  # x.jpg and x_mask.png
SEEN = 8  # names in a message
Pair = tuple[Path, Path]


@part
class MaskFolder:
    """Images and masks of the same stems, in two folders below `root`, or below its train, val and test, or in lists.

    Found are `images` and `masks` under the names in use, `train` beside `trainannot`, and `train.txt` with a pair of
    paths on each line. images, masks: the folders where these are others; suffix: of a mask's stem, where it is none
    in use. colours: a CSV with name, r, g, b of each class, for masks in colours. ignore: the value that counts for
    nothing. classes.txt has the classes' names, a line each; without it, and without colours, they are numbers up to
    the largest in the training masks. Masks of 0 and 255 only have two classes.
    """

    @checked
    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        images: str | None = None,
        masks: str | None = None,
        suffix: str | None = None,
        colours: str | None = None,
        ignore: Natural = 255,
        names: Sequence[str] | None = None,
    ) -> None:
        self.root, self.channels, self.ignore = Path(root), channels, ignore
        self.places, self.suffix, self.colours_file = (images, masks), suffix, colours
        self.names = list(names) if names else None

    @cached_property
    def classes(self) -> list[str]:
        """Their names, or numbers."""
        file = self.root / "classes.txt"
        if self.names:
            return self.names
        if self.colours:
            return [name for name, _ in self.colours]
        if file.is_file():
            return [line.strip() for line in read_text(file).splitlines() if line.strip()]
        return [str(k) for k in range(2 if self.is_binary else max(self._values - {self.ignore}, default=0) + 1)]

    @cached_property
    def colours(self) -> list[tuple[str, Colour]]:
        """(name, (r, g, b)) of each class, in the order of the file."""
        if self.colours_file is None:
            return []
        path = self.root / self.colours_file
        if not path.is_file():
            raise UserError(f"data.colours={self.colours_file}: {path} is not there; name a CSV with name,r,g,b")
        try:
            with cells.open_csv(path) as file:
                rows = [row for row in cells.rows(file) if row]
            listed = rows[not _is_number(rows[0][1]) :]
            found = [(name, (_level(r), _level(g), _level(b))) for name, r, g, b, *_ in listed]
        except (ValueError, IndexError) as error:
            raise UserError(f"{path}: a row is not name,r,g,b with r, g, b from 0 to 255 ({error})") from error
        if not found:
            raise UserError(f"{path}: no row is name,r,g,b; give each class its colour")
        return found

    @property
    def is_binary(self) -> bool:
        """Are the training masks black and white?"""
        return not self.colours and 255 in self._values and self._values <= {0, 255}

    @cached_property
    def _values(self) -> set[int]:
        """All values in training masks."""
        pairs = self.pairs("train") or []
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda pair: np.unique(read_mask(pair[1], self._known_colours)), pairs)
            return {int(value) for values in found for value in values}

    @property
    def _known_colours(self) -> list[Colour]:
        return [colour for _, colour in self.colours]

    @property
    def coding(self) -> Coding:
        """What the values of the masks mean."""
        return Coding(len(self.classes), self._known_colours, self.ignore, self.is_binary)

    def read(self, split: SplitName) -> MaskFiles | None:
        pairs = self.pairs(split)
        if pairs is None:
            images = self._alone(split)
            return MaskFiles(images, [], self.channels, self.coding) if images else None
        images, masks = [list(part) for part in zip(*pairs, strict=True)]
        return MaskFiles(images, masks, self.channels, self.coding)

    def pairs(self, split: SplitName) -> list[Pair] | None:
        """Images with their masks; None where the data has no such split. UserError where images lack a mask."""
        if not self.root.is_dir():
            raise UserError(f"{self.root}: there is no such folder; set data.root to the one that has images and masks")
        lists = [path for path in sorted(self.root.glob("*.txt")) if part_named(path.stem) == split]
        if lists:
            return self._listed(lists[0])
        for images, masks in self._folders(split):
            if found := image_files(images):
                return list(self._matched(found, images, masks))
        if split == "train":
            seen = sorted(path.name for path in self.root.iterdir())[:SEEN]
            raise UserError(
                f"{self.root}: no images beside masks; expected images/ and masks/ there or in its train/, train/ and "
                f"trainannot/, or train.txt with a pair on each line; it has {', '.join(seen) or 'nothing'}. Set "
                f"data.reader.images and data.reader.masks to their folders"
            )
        return None

    def _folders(self, split: SplitName) -> Iterator[tuple[Path, Path]]:
        """Where the split's images and masks may lie, and do, the likeliest first."""
        parts = _parts(self.root, split)
        yield from self._side_by_side([*parts, *([self.root] if split == "train" else [])])
        yield from self._parts_inside(split)
        for place in parts:
            if masks := _found(self.root, [f"{place.name}{beside}" for beside in BESIDE]):
                yield place, masks  # train and trainannot

    def _side_by_side(self, places: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
        """images/ and masks/ in one of these folders."""
        for place in places:
            images, masks = self._both(place)
            if images and masks and not _has_parts(images):
                yield images, masks

    def _parts_inside(self, split: SplitName) -> Iterator[tuple[Path, Path]]:
        """images/train and masks/train."""
        images, masks = self._both(self.root)
        yield from zip(_parts(images, split), _parts(masks, split), strict=False)

    def _both(self, place: Path) -> tuple[Path | None, Path | None]:
        """The folders of images and of masks in a place, under the names that were given or are in use."""
        images, masks = self.places
        return _found(place, [images] if images else IMAGES), _found(place, [masks] if masks else MASKS)

    def _alone(self, split: SplitName) -> list[Path]:
        """Images of a test without masks."""
        if split != "test":
            return []
        places = _parts(self.root, split)
        return image_files(_found(places[0], IMAGES) or places[0]) if places else []

    def _matched(self, images: Sequence[Path], folder: Path, masks: Path) -> Iterator[Pair]:
        files = {path.relative_to(masks).with_suffix("").as_posix().lower(): path for path in image_files(masks)}
        wanted = [path.relative_to(folder).with_suffix("").as_posix().lower() for path in images]
        suffixes = SUFFIXES if self.suffix is None else (self.suffix.lower(),)
        suffix = max(suffixes, key=lambda suffix: sum(stem + suffix in files for stem in wanted))
        lacking = [path for path, stem in zip(images, wanted, strict=True) if stem + suffix not in files]
        if lacking:
            raise UserError(
                f"{masks}: {len(lacking)} of {len(images)} images have no mask, as {lacking[0].name}; add them, delete "
                f"those images, or set data.reader.suffix to what masks' names have more (x.jpg, x_mask.png: _mask)"
            )
        return ((path, files[stem + suffix]) for path, stem in zip(images, wanted, strict=True))

    def _listed(self, path: Path) -> list[Pair]:
        """The pairs of a list. Paths of another machine are found by their last parts."""
        rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
        if wrong := [number for number, row in enumerate(rows, 1) if len(row) != 2]:
            raise UserError(f"{path}, line {wrong[0]}: expected two paths, of an image and its mask")
        return [(self._here(image, path), self._here(mask, path)) for image, mask in rows]

    def _here(self, name: str, source: Path) -> Path:
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        found = next((p for i in range(len(parts)) if (p := self.root.joinpath(*parts[i:])).is_file()), None)
        if found is None:
            raise UserError(f"{source}: {name} is not below {self.root}; put it there, or mend the list")
        return found


@part
class VocMasks(MaskFolder):
    """Pascal VOC: ImageSets/Segmentation/<split>.txt, JPEGImages and SegmentationClass, 255 at objects' borders."""

    def pairs(self, split: SplitName) -> list[Pair] | None:
        path = self.root / f"ImageSets/Segmentation/{split}.txt"
        if not path.is_file():
            if split == "train":
                raise UserError(f"{path}: is not there; set data.root to the folder that has VOC's ImageSets")
            return None
        stems = read_text(path).split()
        return [(self.root / f"JPEGImages/{s}.jpg", self.root / f"SegmentationClass/{s}.png") for s in stems]


CITYSCAPES: Mapping[str, int] = {  # class -> the id that its label images have (Cordts et al. 2016, table of labels)
    **{"road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19},
    **{"traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26},
    **{"truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33},
}


@part
class Cityscapes(MaskFolder):
    """leftImg8bit/<split>/<city>/*_leftImg8bit.png and gtFine/<split>/<city>/*_gtFine_labelIds.png; 19 classes."""

    @cached_property
    def classes(self) -> list[str]:
        return list(CITYSCAPES)

    @property
    def coding(self) -> Coding:
        return Coding(len(CITYSCAPES), table={label: i for i, label in enumerate(CITYSCAPES.values())})

    def pairs(self, split: SplitName) -> list[Pair] | None:
        images = sorted(self.root.glob(f"leftImg8bit/{split}/*/*_leftImg8bit.png"))
        if not images and split == "train":
            raise UserError(
                f"{self.root}/leftImg8bit/train/*/: no *_leftImg8bit.png; set data.root to Cityscapes' folder"
            )
        return [(path, self._mask_of(path)) for path in images] or None

    def _mask_of(self, image: Path) -> Path:
        name = image.name.replace("_leftImg8bit", "_gtFine_labelIds")
        return self.root / "gtFine" / image.parent.parent.name / image.parent.name / name


def _found(place: Path | None, names: Iterable[str]) -> Path | None:
    """The folder in `place` with the first of these names that is there, in whatever case."""
    if place is None or not place.is_dir():
        return None
    folders = {path.name.lower(): path for path in place.iterdir() if path.is_dir()}
    return next((folders[name.lower()] for name in names if name.lower() in folders), None)


def _parts(place: Path | None, split: SplitName) -> list[Path]:
    """The folders in `place` that are called as this part is."""
    return [folder for folder in folders(place) if part_named(folder.name) == split]


def _has_parts(images: Path) -> bool:
    return any(part_named(folder.name) for folder in folders(images))


def _level(text: str) -> int:
    """Of a colour; ValueError where it is none from 0 to 255."""
    if not 0 <= (value := int(text)) <= 255:
        raise ValueError(f"{value} is no level of a colour")
    return value


def _is_number(text: str) -> bool:
    return text.strip().lstrip("-").isdigit()
