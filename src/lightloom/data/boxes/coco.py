"""COCO's JSON: all images of a split in one file (Lin et al. 2014, Microsoft COCO: Common objects in context)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.data.boxes.annotations import AnnotatedImages, Annotation, annotation, elsewhere
from lightloom.data.images.readers import SplitName, read_text

PLACES = ("annotations/instances_{0}*.json", "annotations/{0}*.json", "{0}.json", "{0}/_annotations.coco.json")
EVERYTHING = ("annotations.json", "_annotations.coco.json", "coco.json")  # without a split of its own
FOLDERS = ("", "images", "{0}", "images/{0}", "{1}", "images/{1}")  # of images; 0: the file's last word, 1: the split


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
        found = [self._annotation(path, folder, image, objects[image["id"]]) for image in content["images"]]
        return AnnotatedImages(found, self.channels, self.has_masks, labelled="annotations" in content)

    def _annotation(self, path: Path, folder: Path, image: dict[str, Any], items: list[dict[str, Any]]) -> Annotation:
        numbers = {category["id"]: number for number, category in enumerate(self._categories(path), 1)}
        boxes = []
        for item in items:
            box = item.get("bbox")
            if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
                raise UserError(f"{path}: bbox of annotation {item.get('id')} is {box}; expected [x, y, width, height]")
            boxes.append([box[0], box[1], box[0] + box[2], box[1] + box[3]])
        size = (int(image.get("height") or 0), int(image.get("width") or 0))
        return annotation(
            image["file_name"],
            folder / image["file_name"],
            boxes,
            [numbers.get(item.get("category_id"), 0) for item in items],
            [int(item.get("iscrowd", 0)) for item in items],
            size=size,
            area=torch.tensor([float(i["area"]) for i in items]) if all("area" in i for i in items) else None,
            masks=Segments([item["segmentation"] for item in items], size) if self.has_masks else None,
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
            try:
                content = json.loads(read_text(path))
            except ValueError as error:
                raise UserError(f"{path}: is no whole JSON ({error}); write it again") from error
            if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
                raise UserError(f"{path}: expected COCO's images, categories and annotations")
            for key, wanted in (("images", {"id", "file_name"}), ("categories", {"id", "name"})):
                if lacking := next((wanted - item.keys() for item in content[key] if not wanted <= item.keys()), None):
                    raise UserError(f"{path}: one of its {key} has no {', '.join(sorted(lacking))}; add it")
            self.contents[path] = content
        return self.contents[path]

    def _categories(self, path: Path) -> list[dict[str, Any]]:
        return sorted(self._content(path)["categories"], key=lambda category: category["id"])

    def _folder(self, path: Path, split: str, images: list[dict[str, Any]]) -> Path:
        """Where the images lie: the first place that has the first image."""
        word = path.stem.rpartition("_")[2]
        places = [self.root / folder.format(word, split) for folder in FOLDERS] + [path.parent]
        name = images[0]["file_name"] if images else ""
        found = [place for place in places if (place / name).is_file()]
        if images and not found:
            tried = ", ".join(map(str, dict.fromkeys(places)))
            raise UserError(f"{path}: its first image, {name}, is in none of {tried}; put the images there")
        return found[0] if found else self.root


@dataclass(frozen=True)
class Segments:
    """Masks as COCO writes them: a list of polygons, or run lengths, for each object of an image of this size."""

    items: list[Any]
    size: tuple[int, int]

    def read(self, size: tuple[int, int]) -> Tensor:
        """uint8 (N, H, W)."""
        if not self.items:
            return torch.zeros(0, *size, dtype=torch.uint8)
        return torch.from_numpy(np.stack([decode(item, size) for item in self.items]))

    def pick(self, kept: Tensor) -> Segments:
        return Segments([self.items[i] for i in kept.tolist()], self.size)


def decode(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask, uint8 (H, W), from polygons [[x, y, x, y, ...], ...] or run lengths {size, counts}, packed or not."""
    from faster_coco_eval import mask

    if isinstance(segmentation, dict):
        is_packed = isinstance(segmentation["counts"], str | bytes)
        packed = segmentation if is_packed else mask.frPyObjects(segmentation, *size)
        return np.ascontiguousarray(mask.decode(packed))
    return np.ascontiguousarray(mask.decode(mask.merge(mask.frPyObjects(segmentation, *size))))
