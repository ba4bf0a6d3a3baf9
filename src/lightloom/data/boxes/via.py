"""VGG Image Annotator's JSON: `via_region_data.json` or a whole project (Dutta & Zisserman 2019, The VIA software)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightloom.core.documents import read_json
from lightloom.core.parts import part
from lightloom.core.schema import anything, check, either, entries, items, number, table, text
from lightloom.data.boxes.layouts import Layout, Record, Thing
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.outlines import corners, ellipse, polygon
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "via", "VIA"
OBJECT = "object"  # the class of regions that nobody has named
NAMES = ("class", "label", "name", "type", "category", "object")  # of the attribute that holds the class
NUMBERS = dict.fromkeys(("x", "y", "width", "height", "cx", "cy", "r", "rx", "ry"), number())
POINTS = dict.fromkeys(("all_points_x", "all_points_y"), items(number(), of="numbers"))
REGION = entries(
    {"shape_attributes": entries({}, {"name": text(), **NUMBERS, **POINTS})},
    {"region_attributes": table(text(), anything)},
)
CONTENT = table(
    text(), entries({"filename": text(), "regions": either(items(REGION, of="regions"), table(text(), REGION))}, {})
)


def annotation_files(listing: Listing) -> list[Path]:
    """The JSON files with regions."""
    return marked(listing.of(".json"), r'"regions"\s*:|"_via_img_metadata"', r'"filename"|"_via_')


@part
class Via(Layout):
    """A JSON file, or one for each part, in which images have regions: rectangles, polygons, circles and ellipses.

    attribute: that of a region which names its class, where there are several; regions without one are `object`.
    """

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        attribute: str | None = None,
        images: str | None = None,
        annotations: str | None = None,
    ) -> None:
        super().__init__(root, channels, images, annotations)
        self.attribute = attribute

    def all_records(self) -> list[Record]:
        return [record for path in self.files(annotation_files, "JSON of VIA") for record in self._records(path)]

    def _records(self, path: Path) -> list[Record]:
        content = read_json(path)
        if isinstance(content, dict) and "_via_img_metadata" in content:
            content = content["_via_img_metadata"]
        found = list(check(content, CONTENT, path).values())
        places = self.places([image["filename"] for image in found], path)
        return [
            Record(place, list(self._things(image["regions"], path)), path)
            for place, image in zip(places, found, strict=True)
        ]

    def _things(self, regions: Any, path: Path) -> Iterator[Thing]:
        for region in regions if isinstance(regions, list) else regions.values():
            box, outline = _shape(region["shape_attributes"])
            if box is None:
                self.leave_out("{} points, lines and shapes of fewer than three points are left out", path.name)
            else:
                yield Thing(self._name(region.get("region_attributes", {}), path), box, outline=outline)

    def _name(self, attributes: dict[str, Any], path: Path) -> str:
        """The value of the attribute that holds the class; of boxes to tick the one that is ticked."""
        named = [self.attribute] if self.attribute else [n for n in attributes if n.lower() in NAMES] or [*attributes]
        value = attributes.get(named[0]) if named else None
        if isinstance(value, dict):
            value = next((name for name, ticked in value.items() if ticked), "")
        if value is None:
            self.leave_out(f"{{}} regions name no class and are of the class {OBJECT}", path.name)
        return OBJECT if value is None else str(value).strip()


def _shape(shape: dict[str, Any]) -> tuple[list[float] | None, list[list[float]] | None]:
    """(box, outline) of a region; None where it encloses nothing."""
    if {"x", "y", "width", "height"} <= shape.keys():
        box = [shape["x"], shape["y"], shape["x"] + shape["width"], shape["y"] + shape["height"]]
        return box, None
    if {"cx", "cy"} <= shape.keys() and ("r" in shape or {"rx", "ry"} <= shape.keys()):
        rx, ry = (shape["r"], shape["r"]) if "r" in shape else (shape["rx"], shape["ry"])
        x, y = shape["cx"], shape["cy"]
        return [x - rx, y - ry, x + rx, y + ry], [ellipse(x, y, rx, ry)]
    xs, ys = shape.get("all_points_x", []), shape.get("all_points_y", [])
    if len(xs) > 2 and len(xs) == len(ys):
        return corners(xs, ys), [polygon(xs, ys)]
    return None, None
