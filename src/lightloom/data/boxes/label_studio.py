"""Label Studio's JSON, full or brief (JSON-MIN): a list of tasks with rectangles and polygons in per cent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightloom.core.documents import read_json
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.schema import anything, check, either, entries, items, nothing, number, table, text, whole
from lightloom.data.boxes.layouts import Layout, Record, Thing
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.outlines import corners, polygon
from lightloom.data.images.readers import SUFFIXES
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "label_studio", "Label Studio"
KINDS = ("rectanglelabels", "polygonlabels", "labels")  # of a region's value: the keys that name its class
NUMBERS = dict.fromkeys(("x", "y", "width", "height"), number(-1e6, 1e6))
SHAPE = {
    **NUMBERS,
    "rotation": either(number(), nothing),
    "points": items(items(number(), 2, 2, of="numbers"), of="points"),
    **dict.fromkeys(KINDS, items(text(), of="names")),
}
SIDES = dict.fromkeys(("original_width", "original_height"), either(whole(1, 1_000_000), nothing))
REGION = entries({}, {"value": entries({}, SHAPE), **SIDES})
FULL = entries(
    {"data": table(text(), anything)},
    {
        key: items(entries({"result": items(REGION, of="regions")}, {"was_cancelled": anything}), of="annotations")
        for key in ("annotations", "completions")
    },
)
BRIEF_REGION = entries({}, {**SHAPE, **SIDES})


def annotation_files(listing: Listing) -> list[Path]:
    """The JSON files with regions of it."""
    return marked(listing.of(".json"), r'"(rectanglelabels|polygonlabels|original_width)"')


@part
class LabelStudio(Layout):
    """A JSON file, or one for each part. The first annotation of a task counts; a turned rectangle is its extent."""

    def __init__(
        self, root: str | Path, channels: int = 3, images: str | None = None, annotations: str | None = None
    ) -> None:
        super().__init__(root, channels, images, annotations)

    def all_records(self) -> list[Record]:
        return [
            record for path in self.files(annotation_files, "JSON of Label Studio") for record in self._records(path)
        ]

    def _records(self, path: Path) -> list[Record]:
        tasks = check(read_json(path), items(table(text(), anything), of="tasks"), path)
        read = [self._task(task, path, f"[{i}]") for i, task in enumerate(tasks)]
        places = self.places([name for name, _ in read], path)
        return [
            Record(place, [thing for region in regions or [] if (thing := self._thing(region, path))], path,
                   is_labelled=regions is not None)
            for place, (_, regions) in zip(places, read, strict=True)
        ]  # fmt: skip

    def _task(self, task: dict[str, Any], path: Path, where: str) -> tuple[str, list[dict[str, Any]] | None]:
        """(name of the image, its regions), None for those of a task that nobody has worked on."""
        if isinstance(task.get("data"), dict):
            check(task, FULL, path, where)
            done = [a for a in task.get("annotations", task.get("completions", [])) if not a.get("was_cancelled")]
            for _ in done[1:]:
                self.leave_out("{} further annotations of the same images are left out", path.name)
            regions = [{**region, **region.get("value", {})} for region in done[0]["result"]] if done else None
            return _image(task["data"], path, where), regions
        found: list[Any] = next(filter(_is_regions, task.values()), [])
        return _image(task, path, where), check(found, items(BRIEF_REGION, of="regions"), path, where)

    def _thing(self, region: dict[str, Any], path: Path) -> Thing | None:
        names: list[str] = next((region[key] for key in KINDS if region.get(key)), [])
        width, height = region.get("original_width"), region.get("original_height")
        points = list(_points(region, width, height)) if names and width and height else []
        if len(points) < 3:
            self.leave_out("{} regions that are no rectangle or polygon of a class are left out", path.name)
            return None
        xs, ys = zip(*points, strict=True)
        is_upright = not region.get("points") and not region.get("rotation")
        return Thing(str(names[0]).strip(), corners(xs, ys), outline=None if is_upright else [polygon(xs, ys)])


def _is_regions(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "original_width" in v for v in value)


def _image(values: dict[str, Any], path: Path, where: str) -> str:
    """The value that names an image."""
    named = [value for value in values.values() if isinstance(value, str) and Path(value).suffix.lower() in SUFFIXES]
    if not named:
        raise UserError(f"{path}: {where} names no image; expected data.image with its path")
    return named[0]


def _points(region: dict[str, Any], width: float, height: float) -> Iterator[tuple[float, float]]:
    """The corners in pixels; a rectangle is turned clockwise about its first corner."""
    if region.get("points"):
        yield from ((x * width / 100, y * height / 100) for x, y in region["points"])
    elif NUMBERS.keys() <= region.keys():
        angle = math.radians(region.get("rotation") or 0)
        left, top = region["x"] * width / 100, region["y"] * height / 100
        w, h = region["width"] * width / 100, region["height"] * height / 100
        for x, y in ((0, 0), (w, 0), (w, h), (0, h)):
            yield left + x * math.cos(angle) - y * math.sin(angle), top + x * math.sin(angle) + y * math.cos(angle)
