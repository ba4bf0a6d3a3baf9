"""COCO's JSON: all images of a split in one file (Lin et al. 2014, Microsoft COCO: Common objects in context)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightloom.core.documents import read_json
from lightloom.core.errors import UserError
from lightloom.core.limits import check_pixels
from lightloom.core.parts import part
from lightloom.core.schema import SIDE, anything, check, either, entries, items, nothing, number, text, whole
from lightloom.data.boxes.annotations import AnnotatedImages, Annotation, annotation, elsewhere
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.places import check_inside, straight
from lightloom.data.images.readers import SplitName
from lightloom.data.listing import Listing

CHOICE, LAYOUT = "coco", "COCO"
PLACES = ("annotations/instances_{0}*.json", "annotations/{0}*.json", "{0}.json", "{0}/_annotations.coco.json")
EVERYTHING = ("annotations.json", "_annotations.coco.json", "coco.json")  # without a split of its own
FOLDERS = ("", "images", "{0}", "images/{0}", "{1}", "images/{1}")  # of images; 0: the file's last word, 1: the split

LONGEST = 8_000_000  # pixels, of the outline of one object

ID = either(whole(), text())
STATED_SIDE = either(SIDE, nothing)
PIXEL = number(-1e6, 1e6)
RUNS = entries({"counts": either(text(10_000_000), items(whole(0))), "size": items(SIDE, 2, 2)}, {})
SEGMENTATION = either(nothing, items(items(PIXEL, 6, multiple=2, of="numbers")), RUNS)
CONTENT = entries(
    {
        "images": items(
            entries({"id": ID, "file_name": text()}, {"height": STATED_SIDE, "width": STATED_SIDE}), of="images"
        ),
        "categories": items(entries({"id": whole(), "name": text()}, {}), of="categories"),
    },
    {
        "annotations": items(
            entries(
                {"image_id": ID, "bbox": items(number(), 4, 4, of="numbers, [x, y, width, height]")},
                {
                    **{"category_id": either(whole(), nothing), "iscrowd": either(whole(0, 1), nothing)},
                    **{"area": either(number(0), nothing), "segmentation": anything, "id": anything},
                },
            ),
            of="annotations",
        )
    },
)


def annotation_files(listing: Listing) -> list[Path]:
    """The JSON files that list images by their names."""
    return marked(listing.of(".json"), r'"file_name"|"image_id"', '"images"|"annotations"')


@part
class Coco:
    """A JSON file per split below `root`: annotations/instances_train2017.json and train2017/*.jpg, or alike.

    train, val, test: a split's file, relative to `root`, where it has another name. Category ids may have gaps: class i
    is the i-th by id. Masks come from polygons and run lengths, where every object has some.
    """

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
    ) -> None:
        self.root, self.channels = Path(root), channels
        self.files = {"train": train, "val": val, "test": test}
        self.contents: dict[Path, dict[str, Any]] = {}

    @cached_property
    def classes(self) -> list[str]:
        return [str(category["name"]) for category in self._categories(self._train)]

    @cached_property
    def has_masks(self) -> bool:
        objects = self._content(self._train).get("annotations", [])
        return bool(objects) and all(item.get("segmentation") for item in objects)

    def read(self, split: SplitName) -> AnnotatedImages | None:
        path = self._train if split == "train" else self._file(split)
        if path is None:
            return None
        content = self._content(path)
        if self._categories(path) != self._categories(self._train):
            raise UserError(f"{path}: its categories are not those of {self._train.name}; use one list for all files")
        objects: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for item in content.get("annotations", []):
            if item.get("image_id") not in objects:
                raise UserError(
                    f"{path}: annotation {item.get('id')} is of image {item.get('image_id')}, which is not listed; "
                    f"add the image or delete the annotation"
                )
            objects[item["image_id"]].append(item)
        folder = self._folder(path, split, content["images"])
        check_inside((folder / image["file_name"] for image in content["images"]), [self.root], path)
        found = [self._annotation(path, folder, image, objects[image["id"]]) for image in content["images"]]
        return AnnotatedImages(found, self.channels, self.has_masks, labelled="annotations" in content)

    def _annotation(self, path: Path, folder: Path, image: dict[str, Any], items: list[dict[str, Any]]) -> Annotation:
        numbers = {category["id"]: number for number, category in enumerate(self._categories(path), 1)}
        name, source = image["file_name"], f"{path}, {image['file_name']}"
        boxes = [[x, y, x + width, y + height] for x, y, width, height in (item["bbox"] for item in items)]
        size = (int(image.get("height") or 0), int(image.get("width") or 0))
        return annotation(
            name,
            straight(folder / name),
            boxes,
            [numbers.get(item.get("category_id"), 0) for item in items],
            [int(item.get("iscrowd") or 0) for item in items],
            size=size,
            area=_areas(items),
            masks=_segments(items, size, source) if self.has_masks else None,
            image_id=image["id"] if isinstance(image["id"], int) else None,
        )

    @property
    def _train(self) -> Path:
        path = self._file("train")
        if path is None:
            raise UserError(
                f"data set {self.root.name}: no {PLACES[0].format('train')} in {self.root}; {elsewhere(self.root)}, "
                f"or name the file with data.reader.train=..."
            )
        return path

    def _file(self, split: SplitName) -> Path | None:
        if named := self.files[split]:
            if not (self.root / named).is_file():
                raise UserError(f"data.reader.{split}={named}: there is no {self.root / named}")
            return self.root / named
        patterns = [place.format(split) for place in PLACES] + list(EVERYTHING if split == "train" else ())
        return next((path for pattern in patterns for path in sorted(self.root.glob(pattern))), None)

    def _content(self, path: Path) -> dict[str, Any]:
        if path not in self.contents:
            content = check(read_json(path), CONTENT, path)
            for key in ("images", "categories"):
                ids = [item["id"] for item in content[key]]
                if len(set(ids)) < len(ids):
                    raise UserError(f"{path}: two of its {key} have one id; give each its own")
            self.contents[path] = content
        return self.contents[path]

    def _categories(self, path: Path) -> list[dict[str, Any]]:
        return sorted(self._content(path)["categories"], key=lambda category: category["id"])

    def _folder(self, path: Path, split: str, images: list[dict[str, Any]]) -> Path:
        """Where the images lie: the first place that has the first image."""
        word = path.stem.rpartition("_")[2]
        places = [self.root / folder.format(word, split) for folder in FOLDERS] + [path.parent]
        name = images[0]["file_name"] if images else ""
        found = [place for place in places if straight(place / name).is_file()]
        if images and not found:
            tried = ", ".join(map(str, dict.fromkeys(places)))
            raise UserError(f"{path}: its first image, {name}, is in none of {tried}; put the images there")
        return found[0] if found else self.root


def _segments(objects: list[dict[str, Any]], size: tuple[int, int], source: str) -> Segments:
    outlines = [item.get("segmentation") for item in objects]
    return Segments(check(outlines, items(SEGMENTATION, of="segmentations"), source), size, source)


def _areas(objects: list[dict[str, Any]]) -> Tensor | None:
    stated = [item.get("area") for item in objects]
    return None if None in stated else torch.tensor(stated, dtype=torch.float32)


@dataclass(frozen=True)
class Segments:
    """Masks as COCO writes them: a list of polygons, or run lengths, for each object of an image of this size.

    source: the file and image that they are of, for messages.
    """

    items: list[Any]
    size: tuple[int, int]
    source: str

    def read(self, size: tuple[int, int]) -> Tensor:
        """uint8 (N, H, W)."""
        if not self.items:
            return torch.zeros(0, *size, dtype=torch.uint8)
        return torch.from_numpy(np.stack([decode(item, size, self.source) for item in self.items]))

    def pick(self, kept: Tensor) -> Segments:
        return Segments([self.items[i] for i in kept.tolist()], self.size, self.source)


def decode(segmentation: Any, size: tuple[int, int], source: str = "segmentation") -> np.ndarray:
    """A mask, uint8 (H, W), from polygons [[x, y, x, y, ...], ...] or run lengths {size, counts}, packed or not.

    Nothing is handed to a decoder in C that is not as it expects. Raises UserError for what is no mask of this size.
    """
    check_pixels(source, size[1], size[0])
    if isinstance(segmentation, dict):
        return _decode_runs(segmentation, size, source)
    from faster_coco_eval import mask

    for polygon in segmentation:
        corners = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        if np.abs(np.diff(corners, axis=0, append=corners[:1])).max(1).sum() > LONGEST:
            raise UserError(
                f"{source}: the outline of an object is longer than {LONGEST:,} pixels; correct the polygon"
            )
    return np.ascontiguousarray(mask.decode(mask.merge(mask.frPyObjects(segmentation, *size))))


def _decode_runs(runs: dict[str, Any], size: tuple[int, int], source: str) -> np.ndarray:
    """Columns from left to right, beginning with the zeros."""
    counts = runs["counts"]
    if isinstance(counts, str | bytes):
        counts = unpacked(counts if isinstance(counts, str) else counts.decode("ascii"), source)
    counts = [int(n) for n in counts]
    height, width = map(int, runs["size"])
    if (height, width) != tuple(size) or min(counts, default=0) < 0 or sum(counts) != height * width:
        raise UserError(
            f"{source}: run lengths of size {height} x {width} hold {sum(counts)} pixels, not {size[0]} x {size[1]}"
        )
    values = np.arange(len(counts), dtype=np.uint8) % 2
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def unpacked(packed: str, source: str) -> list[int]:
    """Run lengths from COCO's text: five bits a character, from 48 on, as differences to the last but one."""
    counts: list[int] = []
    value, shift = 0, 0
    for char in packed:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise UserError(
                f"{source}: {char!r} at run {len(counts)} is no part of packed run lengths; export them again"
            )
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last of this number, whose highest bit is its sign
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise UserError(f"{source}: packed run lengths end within a number; export them again")
    return counts
