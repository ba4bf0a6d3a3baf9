"""From what annotation files say to samples: the one path that all layouts of boxes share.

A layout finds its files and says in `records` what is on each image; parts, classes, masks and what is told of them are
made here.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lightloom.core.errors import UserError
from lightloom.core.text import first_of
from lightloom.data.auto import layouts_of
from lightloom.data.boxes.annotations import AnnotatedImages, Annotation, annotation, elsewhere
from lightloom.data.boxes.finding import ImageIndex
from lightloom.data.boxes.outlines import Segments, is_flat
from lightloom.data.boxes.places import straight
from lightloom.data.images.readers import SplitName
from lightloom.data.listing import Listing, list_folder, part_of

log = logging.getLogger("lightloom")
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Thing:
    """An object: its class, None for one that its file does not know, and its box, xyxy in pixels.

    outline: polygons [[x, y, ...], ...] or run lengths, as COCO has them; area: in pixels, where it is stated.
    """

    name: str | None
    box: Sequence[float]
    difficult: int = 0
    outline: Any = None
    area: float | None = None


@dataclass(frozen=True)
class Record:
    """What a file says of one image. size: height and width as stated; is_labelled: has anybody looked for objects?

    part: the split that it states.
    """

    image: Path
    things: Sequence[Thing] = ()
    source: Path | None = None
    name: str = ""
    size: tuple[int, int] | None = None
    image_id: int | None = None
    is_labelled: bool = True
    part: SplitName | None = None
    notes: tuple[str, ...] = ()


class Layout:
    """What the readers of boxes share. images, annotations: folders below `root`, where finding them is not enough.

    told: what was left out or is unusual, a sentence each with its count; filled while reading.
    """

    def __init__(self, root: str | Path, channels: int, images: str | None, annotations: str | None) -> None:
        self.root, self.channels = Path(root), channels
        self.images, self.annotations = images, annotations
        self.told: dict[str, str] = {}
        self._left_out: dict[str, list[str]] = defaultdict(list)
        self._read: dict[SplitName, list[Record] | None] = {}

    # --- what a layout has of its own

    def all_records(self) -> list[Record]:
        """What is known of each image; parts are told from it."""
        raise NotImplementedError

    def records(self, split: SplitName) -> list[Record] | None:
        """What is known of each image of a split; None where there is no such split."""
        return self._parts.get(split)

    def stated_classes(self) -> list[str] | None:
        """The names in the order that the layout gives them; None where the objects tell, in alphabetical order."""
        return None

    # --- what a datamodule asks

    @cached_property
    def classes(self) -> list[str]:
        """The names of the classes. Raises UserError where there is none, or one of them is empty."""
        stated = self.stated_classes()
        if stated is None:
            self._check_named()
            known = {thing.name for record in self._all() for thing in record.things if thing.name is not None}
            stated = sorted(known)
        if not stated:
            raise UserError(f"{self.root}: no annotation names an object; nothing can be learned")
        if not all(stated):
            raise UserError(f"{self.root}: one of the classes has an empty name; name it, or delete it")
        self._tell_alike(stated)
        return stated

    @cached_property
    def has_masks(self) -> bool:
        """Have all objects of training an outline?"""
        things = [thing for record in self._of("train") or [] for thing in record.things]
        bare = [str(thing.name) for thing in things if not thing.outline]
        if len(bare) < len(things):
            self.tell("{} objects have no outline, so those of the others are read as boxes, not as masks", bare)
        return bool(things) and not bare

    def read(self, split: SplitName) -> AnnotatedImages | None:
        """The images of a split with their boxes; None where there is none."""
        records = self._of(split)
        if records is None:
            return None
        numbers = {name: number for number, name in enumerate(self.classes, 1)}
        found = [self._annotation(record, numbers) for record in records]
        return AnnotatedImages(found, self.channels, self.has_masks, any(record.is_labelled for record in records))

    # --- how

    @cached_property
    def listing(self) -> Listing:
        """All files of the data."""
        if not self.root.is_dir():
            raise UserError(f"data set {self.root.name}: there is no folder {self.root}; {elsewhere(self.root)}")
        return list_folder(self.root)

    @cached_property
    def annotation_listing(self) -> Listing:
        """The files among which annotations are looked for."""
        return self._below(self.annotations, "annotations")

    @cached_property
    def index(self) -> ImageIndex:
        """The images, to be found from annotations."""
        listing = self._below(self.images, "images")
        return ImageIndex(listing.images, self.root, [listing.root])

    def _below(self, folder: str | None, option: str) -> Listing:
        """The files of a folder that an option names, or all; the file alone where it names a file."""
        if folder is None:
            return self.listing
        path = straight(self.root / folder)
        if not path.is_relative_to(straight(self.root)):
            raise UserError(
                f"data.{option}={folder} lies outside {self.root}; set data.root to the folder that holds both"
            )
        if not path.exists():
            raise UserError(f"data.{option}={folder}: there is no {path}; {self.listing.said()}")
        return self.listing.below(path) if path.is_dir() else Listing(path.parent, (path,))

    def nothing_found(self, what: str, remedy: str = "") -> UserError:
        """The error that there is no such thing in the folder, with what was seen there, and the layout that it has."""
        own = getattr(sys.modules[type(self).__module__], "CHOICE", "")
        known = [match for match in layouts_of(self.listing) if match.choice != own]
        other = f"data={known[0].choice} reads it as {known[0].seen}; or " if len(known) == 1 else ""
        return UserError(
            f"data set {self.root.name}: no {what} in {self.annotation_listing.root}; {self.listing.said()}; {other}"
            f"{remedy}set data.root to another folder, or name those in it by data.images=... and data.annotations=..."
        )

    def part_of(self, record: Record) -> SplitName:
        """The split that is stated, or whose name a folder of the image or its annotation has; else training."""
        if record.part:
            return record.part
        paths = [path for path in (record.image, record.source) if path and path.is_relative_to(self.root)]
        return next(filter(None, (part_of(path, self.root) for path in paths)), "train")

    def files(self, find: Callable[[Listing], list[Path]], what: str) -> list[Path]:
        """The annotation files; UserError where there is none."""
        found = find(self.annotation_listing)
        if not found:
            raise self.nothing_found(what)
        return found

    @cached_property
    def _parts(self) -> dict[SplitName, list[Record]]:
        found = self.by_part(self.all_records())
        if "train" not in found:
            said = f"has images of {', '.join(found)} only" if found else "has no image with an annotation"
            raise UserError(f"{self.root}: {said}; set data.root to the folder that holds those of training too")
        return found

    def by_part(self, records: Iterable[Record]) -> dict[SplitName, list[Record]]:
        """The records of each split that has some, in the order of the images."""
        found: dict[SplitName, list[Record]] = {}
        for record in sorted(records, key=lambda record: record.image):
            found.setdefault(self.part_of(record), []).append(record)
        return found

    def places(self, names: Sequence[str], file: Path) -> list[Path]:
        """The image of each name that a file lists; UserError where some are missing, or named twice."""
        found = {name: self.index.named(name, file) for name in names}
        if len(found) < len(names):
            twice = [name for name, count in Counter(names).items() if count > 1]
            raise UserError(f"{file}: lists {first_of(twice, SHOWN)} more than once; delete one of the entries")
        if lacking := [name for name, place in found.items() if place is None]:
            raise self.missing(lacking, len(names), file)
        return [place for place in found.values() if place is not None]

    def of_each(self, files: Sequence[Path], read: Callable[[Path], Record | None]) -> list[Record]:
        """The records of files of one image each; those without an image are left out and told."""
        found = {path: read(path) for path in files}
        alone = [path.name for path, record in found.items() if record is None]
        if len(alone) == len(files):
            raise self.nothing_found(f"image for any of its {len(files)} annotation files (as {alone[0]})")
        self.tell("{} annotation files without an image are left out", alone)
        return [record for record in found.values() if record is not None]

    def leave_out(self, sentence: str, name: str) -> None:
        """Count something that is left out, or taken for something else; told when all is read."""
        self._left_out[sentence].append(name)

    def tell(self, sentence: str, names: Sequence[object], count: int | None = None) -> None:
        """Keep what is told of the data, once: `{}` becomes the count, the first names stand behind."""
        if names and sentence not in self.told:
            self.told[sentence] = sentence.format(f"{len(names) if count is None else count:,}")
            log.warning("%s: %s (%s)", self.root, self.told[sentence], first_of(names, SHOWN))

    def missing(self, names: Sequence[str], count: int, source: Path) -> UserError:
        """The error that images which a file lists are not there."""
        return UserError(
            f"{source}: {len(names)} of {count} images are missing ({first_of(names, SHOWN)}); looked below "
            f"{self.index.bases[0]} ({len(self.index.paths):,} images); add them or strike them from the list"
        )

    def _of(self, split: SplitName) -> list[Record] | None:
        if split not in self._read:
            self._read[split] = self.records(split)
            self._tell_shared()
            for sentence, names in self._left_out.items():
                self.tell(sentence, list(dict.fromkeys(names)), len(names))
        return self._read[split]

    def _all(self) -> Iterator[Record]:
        return (record for split in SPLITS for record in self._of(split) or [])

    def _annotation(self, record: Record, numbers: dict[str, int]) -> Annotation:
        """Of data with masks, an object whose outline holds nothing is left out, and noted."""
        kept = [thing for thing in record.things if not (self.has_masks and is_flat(thing.outline))]
        notes = record.notes + ("flat_outline",) * (len(record.things) - len(kept))
        source = f"{record.source or self.root}, {record.name or record.image.name}"
        areas = [thing.area for thing in kept]
        return annotation(
            record.name or record.image.name,
            record.image,
            [list(thing.box) for thing in kept],
            [numbers.get(thing.name, 0) if thing.name is not None else 0 for thing in kept],
            [thing.difficult for thing in kept],
            size=record.size,
            area=None if None in areas else torch.tensor(areas, dtype=torch.float32),
            masks=Segments([thing.outline for thing in kept], source) if self.has_masks else None,
            image_id=record.image_id,
            notes=notes,
        )

    def _check_named(self) -> None:
        unnamed = [r.source or r.image for r in self._all() if any(thing.name == "" for thing in r.things)]
        if unnamed:
            raise UserError(
                f"{self.root}: {len(unnamed)} files have an object without a class "
                f"({first_of([path.name for path in unnamed], SHOWN)}); name it, or delete it"
            )

    def _tell_alike(self, names: Sequence[str]) -> None:
        """Names that differ in the case of letters or in spaces alone are most likely one class."""
        counts = Counter("".join(name.casefold().split()) for name in names)
        alike = [name for name in names if counts["".join(name.casefold().split())] > 1]
        self.tell("{} classes have names that differ in case or spaces only; rename them if they are one", alike)

    def _tell_shared(self) -> None:
        """An image in two parts is measured on what was learned."""
        seen = Counter(image for records in self._read.values() for image in {r.image for r in records or []})
        shared = [path.name for path, count in seen.items() if count > 1]
        self.tell("{} images are in two parts", shared)
