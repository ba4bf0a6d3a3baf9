"""CVAT's XML for images: all images of a task in one file (Sekachev et al. 2020, CVAT)."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from lightloom.core.documents import read_xml
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.schema import SIDE, check, shown
from lightloom.data.boxes.layouts import Layout, Record, Thing
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.outlines import corners, polygon
from lightloom.data.images.layout import part_named
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "cvat", "CVAT"
CORNERS = ("xtl", "ytl", "xbr", "ybr")
SHAPES = ("box", "polygon")


def annotation_files(listing: Listing) -> list[Path]:
    """The XML files of many images each."""
    return marked(listing.of(".xml"), r"<annotations[ >]")


@part
class Cvat(Layout):
    """An XML file (`CVAT for images 1.1`), or several, with boxes and polygons; an image without any holds nothing."""

    def __init__(
        self, root: str | Path, channels: int = 3, images: str | None = None, annotations: str | None = None
    ) -> None:
        super().__init__(root, channels, images, annotations)

    def all_records(self) -> list[Record]:
        return [record for path in self.files(annotation_files, "XML of CVAT") for record in self._records(path)]

    def _records(self, path: Path) -> list[Record]:
        tree = read_xml(path)
        if tree is None:
            raise UserError(f"{path}: is empty; export it again")
        if tree.find("track") is not None:
            raise UserError(f"{path}: is of a video (it has tracks); export the task as `CVAT for images`")
        nodes = list(tree.iter("image"))
        places = self.places([node.get("name", "") for node in nodes], path)
        return [self._record(node, place, path) for node, place in zip(nodes, places, strict=True)]

    def _record(self, node: ElementTree.Element, image: Path, path: Path) -> Record:
        height, width = (
            check(int(_number(node.get(side), side, path)), SIDE, path, side) for side in ("height", "width")
        )
        for other in node:
            if other.tag not in SHAPES:
                self.leave_out("{} points, lines, masks and tags are left out", path.name)
        things = [self._thing(shape, path) for shape in node if shape.tag in SHAPES]
        return Record(image, things, path, size=(height, width), part=part_named(node.get("subset", "")))

    def _thing(self, shape: ElementTree.Element, path: Path) -> Thing:
        name = shape.get("label", "").strip()
        if shape.tag == "box":
            box = [_number(shape.get(side), side, path) for side in CORNERS]
            return Thing(name, box)
        points = [
            [_number(word, "points", path) for word in pair.split(",")] for pair in shape.get("points", "").split(";")
        ]
        if not points or any(len(point) != 2 for point in points):
            raise UserError(f"{path}: points is {shown(shape.get('points'))}; expected `x,y;x,y;...`")
        xs, ys = zip(*points, strict=True)
        return Thing(name, corners(xs, ys), outline=[polygon(xs, ys)])


def _number(word: str | None, where: str, path: Path) -> float:
    try:
        return float(word or "")
    except ValueError:
        raise UserError(f"{path}: {where} is {shown(word)}; expected a number") from None
