"""Pascal VOC: one XML file per image (Everingham et al. 2010, The Pascal Visual Object Classes challenge)."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

from lightloom.core.documents import read_text, read_xml
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.schema import SIDE, check, shown
from lightloom.data.boxes.annotations import AnnotatedImages, Annotation, annotation, elsewhere
from lightloom.data.boxes.marks import marked
from lightloom.data.images.readers import SplitName, image_files
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "voc", "Pascal VOC"
SIDES = ("height", "width")

log = logging.getLogger("lightloom")


def annotation_files(listing: Listing) -> list[Path]:
    """The XML files of one image each."""
    return marked(listing.of(".xml"), "<annotation[ >]")


@part
class Voc:
    """`root` or `root`/VOCdevkit/VOC<year> with JPEGImages, Annotations and ImageSets/Main/{train,val,test}.txt.

    Without ImageSets every annotated image is for training. inclusive: pixels are counted from 1 and both corners
    belong to the box, as in VOC itself; false: corners are edges counted from 0, as LabelImg writes them. Objects
    marked `difficult` are crowds: neither trained on nor counted as missed, as in VOC's own evaluation.
    """

    has_masks = False

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        inclusive: bool = True,
        year: str | int | None = None,
        classes: list[str] | None = None,
    ) -> None:
        self.root, self.channels, self.inclusive, self.year = Path(root), channels, inclusive, year
        self.named = classes

    @cached_property
    def classes(self) -> list[str]:
        """The names in the annotations of all splits, sorted."""
        if self.named:
            return list(self.named)
        trees = [tree for tree in self._trees.values() if tree is not None]
        found = {item.findtext("name", "").strip() for tree in trees for item in tree.iter("object")}
        if not found:
            raise UserError(f"{self._folder / 'Annotations'}: no annotation names an object; nothing can be learned")
        return sorted(found)

    def read(self, split: SplitName) -> AnnotatedImages | None:
        names = self._names(split)
        if names is None:
            return None
        missing = [name for name in names if name not in self._images]
        if missing:
            raise UserError(
                f"{self._folder / 'JPEGImages'}: {len(missing)} of {len(names)} images of {split} are missing "
                f"({', '.join(missing[:3])}); add them or strike them from the list"
            )
        lacking = [name for name in names if name not in self._trees]
        if lacking and len(lacking) < len(names):
            raise UserError(
                f"{self._folder / 'Annotations'}: {len(lacking)} of {len(names)} images of {split} have no XML file "
                f"({', '.join(lacking[:3])}); add it, without objects where there are none"
            )
        found = [self._annotation(name) for name in names]
        return AnnotatedImages(found, self.channels, labelled=not lacking)

    def _annotation(self, name: str) -> Annotation:
        path = self._images[name]
        tree = self._trees.get(name)
        if tree is None:
            return annotation(path.name, path, [], [], notes=("empty",) if name in self._trees else ())
        file = self._folder / "Annotations" / f"{name}.xml"
        numbers = {label: number for number, label in enumerate(self.classes, 1)}
        boxes, labels, difficult = [], [], []
        for item in tree.iter("object"):
            boxes.append([_number(item, f"bndbox/{side}", file) for side in ("xmin", "ymin", "xmax", "ymax")])
            labels.append(numbers.get(item.findtext("name", "").strip(), 0))
            difficult.append(int(item.findtext("difficult", "0").strip() == "1"))
        if self.inclusive:
            boxes = [[x1 - 1, y1 - 1, x2, y2] for x1, y1, x2, y2 in boxes]
        size = None
        if tree.find("size") is not None:
            height, width = (check(_number(tree, f"size/{side}", file), SIDE, file, f"size/{side}") for side in SIDES)
            size = (int(height), int(width))
        return annotation(path.name, path, boxes, labels, difficult, size=size)

    @cached_property
    def _folder(self) -> Path:
        pattern = f"VOCdevkit/VOC{self.year or '*'}"
        places = [self.root, *sorted(self.root.glob(pattern))]
        found = [place for place in places if (place / "Annotations").is_dir()]
        if not found:
            raise UserError(
                f"data set {self.root.name}: no Annotations/ in {self.root} or {self.root / pattern}; "
                + elsewhere(self.root)
            )
        if len(found) > 1:
            raise UserError(f"{self.root} holds {', '.join(p.name for p in found)}; choose with data.reader.year=...")
        return found[0]

    @cached_property
    def _images(self) -> dict[str, Path]:
        return {path.stem: path for path in image_files(self._folder / "JPEGImages")}

    @cached_property
    def _trees(self) -> dict[str, ElementTree.Element | None]:
        """name -> its XML; None for an empty file."""
        found: dict[str, ElementTree.Element | None] = {}
        for path in sorted((self._folder / "Annotations").glob("*.xml")):
            found[path.stem] = read_xml(path)
        return found

    def _names(self, split: SplitName) -> list[str] | None:
        folder = self._folder / "ImageSets" / "Main"
        file = folder / f"{split}.txt"
        if split == "train" and not file.is_file():
            file = folder / "trainval.txt"
        if file.is_file():
            lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
            return [line if line in self._images else line.split()[0] for line in lines]  # `name 1` in lists of a class
        if split != "train":
            return None
        both = set(self._trees) & set(self._images)
        for what, names in (("images without an XML file", self._images), ("XML files without an image", self._trees)):
            if left := sorted(set(names) - both):
                log.warning("%s: %d %s are left out (%s)", self._folder, len(left), what, ", ".join(left[:3]))
        return sorted(both)


def _number(node: ElementTree.Element, where: str, file: Path) -> float:
    text = node.findtext(where)
    try:
        return float(text or "")
    except ValueError:
        raise UserError(f"{file}: {where} is {shown(text)}; expected a number") from None
