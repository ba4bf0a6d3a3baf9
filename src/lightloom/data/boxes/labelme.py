"""labelme's JSON: one file per image, with polygons, rectangles and circles (Wada 2018, labelme)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightloom.core.documents import read_json
from lightloom.core.parts import part
from lightloom.core.schema import SIDE, check, either, entries, items, nothing, number, text, whole
from lightloom.data.boxes.layouts import Layout, Record, Thing
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.outlines import corners, ellipse, polygon
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "labelme", "labelme"
POINT = items(number(), 2, 2, of="numbers, [x, y]")
SHAPE = entries(
    {"label": either(text(), whole(), nothing), "points": items(POINT, of="points")}, {"shape_type": text()}
)
CONTENT = entries(
    {"shapes": items(SHAPE, of="shapes")},
    {
        "imagePath": either(text(), nothing),
        **dict.fromkeys(("imageHeight", "imageWidth"), either(SIDE, nothing)),
    },
)


def annotation_files(listing: Listing) -> list[Path]:
    """The JSON files with shapes, which in some stand behind the whole image."""
    return marked(listing.of(".json"), r'"shapes"\s*:|"imageData"\s*:')


@part
class Labelme(Layout):
    """A JSON file for each image, beside it or elsewhere; an image without one is left out.

    Polygons, rectangles and circles are objects; points and lines enclose nothing and are left out.
    """

    def __init__(
        self, root: str | Path, channels: int = 3, images: str | None = None, annotations: str | None = None
    ) -> None:
        super().__init__(root, channels, images, annotations)

    def all_records(self) -> list[Record]:
        return self.of_each(self.files(annotation_files, "JSON of labelme"), self._record)

    def _record(self, path: Path) -> Record | None:
        content = check(read_json(path), CONTENT, path)
        image = self.index.of_stem(path, content.get("imagePath") or "")
        if image is None:
            return None
        things = [thing for shape in content["shapes"] if (thing := self._thing(shape, path))]
        stated = (content.get("imageHeight"), content.get("imageWidth"))
        return Record(image, things, path, size=stated if None not in stated else None)

    def _thing(self, shape: dict[str, Any], path: Path) -> Thing | None:
        xs, ys = zip(*shape["points"], strict=True) if shape["points"] else ((), ())
        name, kind = (
            str(shape["label"] if shape["label"] is not None else "").strip(),
            shape.get("shape_type", "polygon"),
        )
        if kind == "rectangle" and len(xs) == 2:
            return Thing(name, corners(xs, ys))
        if kind == "circle" and len(xs) == 2:
            radius = ((xs[0] - xs[1]) ** 2 + (ys[0] - ys[1]) ** 2) ** 0.5
            box = [xs[0] - radius, ys[0] - radius, xs[0] + radius, ys[0] + radius]
            return Thing(name, box, outline=[ellipse(xs[0], ys[0], radius, radius)])
        if kind in ("polygon", "mask", "rectangle") and len(xs) > 2:
            return Thing(name, corners(xs, ys), outline=[polygon(xs, ys)])
        self.leave_out("{} points, lines and shapes of fewer than three points are left out", path.name)
        return None
