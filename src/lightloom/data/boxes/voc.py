"""Pascal VOC: one XML file per image (Everingham et al. 2010, The Pascal Visual Object Classes challenge)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from lightloom.core.documents import read_text, read_xml
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.schema import SIDE, check, shown
from lightloom.core.text import first_of
from lightloom.data.boxes.layouts import SPLITS, Layout, Record, Thing
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.places import straight
from lightloom.data.images.layout import part_named
from lightloom.data.images.readers import SplitName
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "voc", "Pascal VOC"
SIDES = ("height", "width")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
LISTS = "ImageSets"  # the folder of lists of images


def annotation_files(listing: Listing) -> list[Path]:
    """The XML files of one image each."""
    return marked(listing.of(".xml"), "<annotation[ >]")


@part
class Voc(Layout):
    """An XML file for each image, wherever both lie: JPEGImages/ and Annotations/, images/ and annots/, side by side.

    Parts are ImageSets/Main/{train,val,test}.txt or alike, or folders of such names; without either all is for
    training. inclusive: pixels are counted from 1 and both corners belong to the box, as in VOC itself; false: corners
    are edges counted from 0, as LabelImg writes them; None: found, by a corner at 0 or by LabelImg's words. Objects
    marked `difficult` are crowds, neither trained on nor counted as missed, as in VOC's own evaluation; use_difficult:
    they are objects like others. year: of VOCdevkit/VOC<year>.
    """

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        inclusive: bool | None = None,
        year: str | int | None = None,
        classes: list[str] | None = None,
        use_difficult: bool = False,
        images: str | None = None,
        annotations: str | None = None,
    ) -> None:
        super().__init__(root, channels, images, annotations)
        self.inclusive, self.year, self.use_difficult = inclusive, year, use_difficult
        self.named = classes

    def stated_classes(self) -> list[str] | None:
        return list(self.named) if self.named else None

    def records(self, split: SplitName) -> list[Record] | None:
        lists = self._lists
        if not lists:
            return super().records(split)
        if split in lists:
            return [self._listed(name) for name in self._checked(*lists[split])]
        rest = [record for record in self.all_records() if record.image.stem not in self._all_listed]
        return sorted(rest, key=lambda record: record.image) if split == "train" else None

    def all_records(self) -> list[Record]:
        return [self._record(image, path) for image, path in self._pairs]

    # --- files

    @cached_property
    def listing(self) -> Listing:
        """All files, or those of one year."""
        everything = super().listing
        years = sorted(straight(self.root).glob(f"VOCdevkit/VOC{self.year or '*'}"))
        if len(years) > 1:
            names = ", ".join(path.name for path in years)
            raise UserError(f"{self.root} holds {names}; choose with data.reader.year=...")
        return everything.below(self.root / "VOCdevkit" / years[0].name) if years else everything

    @cached_property
    def _trees(self) -> dict[Path, ElementTree.Element | None]:
        """XML file -> its content; None for an empty file."""
        listing = self.annotation_listing
        files = listing.of(".xml") if self.annotations else annotation_files(listing)
        if files:  # an empty file has no mark, and says that there is nothing
            folders = {path.parent for path in files}
            files = [path for path in listing.of(".xml") if path.parent in folders]
        if not files:
            raise self.nothing_found("XML annotations")
        return {path: read_xml(path) for path in files}

    @cached_property
    def _pairs(self) -> list[tuple[Path, Path]]:
        """(image, its XML file)."""
        found = [(self._image_of(path, tree), path) for path, tree in self._trees.items()]
        if alone := [path.stem for image, path in found if image is None]:
            if len(alone) == len(found):
                raise self.nothing_found(f"image for any of its {len(alone)} XML files (as {alone[0]})")
            self.tell("{} XML files without an image are left out", alone)
        pairs = [(image, path) for image, path in found if image is not None]
        folders, known = {image.parent for image, _ in pairs}, {image for image, _ in pairs}
        bare = [path for path in self.index.paths.values() if path.parent in folders and path not in known]
        left_out = [path.stem for path in bare if path.stem not in self._all_listed]
        self.tell("{} images without an XML file are left out", left_out)
        return pairs

    def _image_of(self, path: Path, tree: ElementTree.Element | None) -> Path | None:
        stated = "" if tree is None else tree.findtext("filename", "").strip()
        return self.index.of_stem(path, stated)

    @cached_property
    def _files(self) -> dict[str, tuple[Path, Path]]:
        """stem of an image -> (image, its XML file)."""
        return {image.stem: (image, path) for image, path in self._pairs}

    # --- lists

    @cached_property
    def _lists(self) -> dict[SplitName, tuple[Path, list[str]]]:
        """split -> (its list, the stems of its images), of the lists that there are."""
        found: dict[SplitName, tuple[Path, list[str]]] = {}
        for split in SPLITS:
            if listed := self._list_of(split):
                found[split] = listed
        if "train" not in found and (listed := self._list_of("trainval")):
            taken = {name for _, names in found.values() for name in names}
            found["train"] = (listed[0], [name for name in listed[1] if name not in taken])
        return found

    @property
    def _all_listed(self) -> set[str]:
        return {name for _, names in self._lists.values() for name in names}

    def _list_of(self, split: str) -> tuple[Path, list[str]] | None:
        """A list of images, and their stems; that of ImageSets/Main goes first."""
        texts = [path for path in self.listing.of(".txt") if split in (path.stem.lower(), part_named(path.stem))]
        own = [path for path in texts if LISTS in path.parts]
        for path in sorted(own or texts, key=lambda p: (p.parent.name != "Main", len(p.parts), p)):
            stems = [self._stem(line.strip()) for line in read_text(path).splitlines() if line.strip()]
            if stems and (own or any(stem in self._stems for stem in stems)):
                return path, stems
        return None

    def _stem(self, line: str) -> str:
        """`name`, `name.jpg`, `JPEGImages/name.jpg`, or `name 1` as in the lists of one class."""
        for words in (line, line.split()[0]):
            name = PurePosixPath(words.replace("\\", "/")).name
            for stem in (name, PurePosixPath(name).stem):
                if stem in self._stems:
                    return stem
        return line.split()[0]

    @cached_property
    def _stems(self) -> dict[str, Path]:
        """stem -> image."""
        return {path.stem: path for path in self.index.paths.values()}

    def _checked(self, path: Path, names: list[str]) -> list[str]:
        """The names of a list; UserError where images or XML files of some are missing."""
        if missing := [name for name in names if name not in self._stems]:
            raise self.missing(missing, len(names), path)
        lacking = [name for name in names if name not in self._files]
        if lacking and len(lacking) < len(names):
            raise UserError(
                f"{path}: {len(lacking)} of {len(names)} images have no XML file in {self.annotation_listing.root} "
                f"({first_of(lacking, 3)}); add it, without objects where there are none"
            )
        return names

    def _listed(self, name: str) -> Record:
        if name not in self._files:
            return Record(self._stems[name], is_labelled=False)
        return self._record(*self._files[name])

    # --- content

    def _record(self, image: Path, path: Path) -> Record:
        tree = self._trees[path]
        if tree is None:
            return Record(image, source=path, notes=("empty",))
        things = [self._thing(item, path) for item in tree.iter("object")]
        size = None
        if tree.find("size") is not None:
            height, width = (check(_number(tree, f"size/{side}", path), SIDE, path, f"size/{side}") for side in SIDES)
            size = (int(height), int(width))
        return Record(image, things, path, size=size)

    def _thing(self, item: ElementTree.Element, path: Path) -> Thing:
        x1, y1, x2, y2 = (_number(item, f"bndbox/{side}", path) for side in CORNERS)
        shift = int(self._counts_from_1)
        is_difficult = item.findtext("difficult", "0").strip() == "1" and not self.use_difficult
        name = item.findtext("name", "").strip()
        return Thing(name, [x1 - shift, y1 - shift, x2, y2], int(is_difficult))

    @cached_property
    def _counts_from_1(self) -> bool:
        """As stated; else no, where a program says that it is not VOC's own, or a corner is at 0."""
        if self.inclusive is not None:
            return self.inclusive
        return not any(_counts_from_0(tree) for tree in self._trees.values() if tree is not None)


def _counts_from_0(tree: ElementTree.Element) -> bool:
    if tree.findtext("source/database", "").strip().lower() in ("unknown", "roboflow.com", "roboflow.ai"):
        return True
    sides = [node.text or "" for corner in ("xmin", "ymin") for node in tree.iter(corner)]
    return any(text.strip() in ("0", "0.0") for text in sides)


def _number(node: ElementTree.Element, where: str, file: Path) -> float:
    text = node.findtext(where)
    try:
        return float(text or "")
    except ValueError:
        raise UserError(f"{file}: {where} is {shown(text)}; expected a number") from None
