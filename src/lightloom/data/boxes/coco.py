"""COCO's JSON: all images of a split in one file (Lin et al. 2014, Microsoft COCO: Common objects in context)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from lightloom.core.documents import read_json
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.schema import SIDE, anything, check, either, entries, items, nothing, number, text, whole
from lightloom.core.text import first_of
from lightloom.data.boxes.layouts import Layout, Record, Thing
from lightloom.data.boxes.marks import marked
from lightloom.data.boxes.outlines import SEGMENTATION
from lightloom.data.boxes.places import check_inside, leading_out, straight
from lightloom.data.images.layout import part_named
from lightloom.data.images.readers import SplitName
from lightloom.data.listing import Listing, part_of

CHOICE, LAYOUT = "coco", "COCO"
PLACES = ("annotations/instances_{0}*.json", "annotations/{0}*.json", "{0}.json", "{0}/_annotations.coco.json")

ID = either(whole(), text())
STATED_SIDE = either(SIDE, nothing)
CONTENT = entries(
    {
        "images": items(
            entries({"id": ID, "file_name": text()}, {"height": STATED_SIDE, "width": STATED_SIDE}), of="images"
        ),
        "categories": items(
            entries({"id": whole(), "name": either(text(), nothing, whole())}, {"supercategory": anything}),
            of="categories",
        ),
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
class Coco(Layout):
    """A JSON file for each part, wherever it lies: annotations/instances_train2017.json, train/_annotations.coco.json,
    or one for all.

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
        images: str | None = None,
        annotations: str | None = None,
    ) -> None:
        super().__init__(root, channels, images, annotations)
        self.named = {"train": train, "val": val, "test": test}
        self.contents: dict[Path, dict[str, Any]] = {}

    def stated_classes(self) -> list[str]:
        """The categories by their ids; those of one name are one class."""
        path = self._train
        names = [self._name(category) for category in self._categories(path)]
        self.tell("{} categories have the name of another and are one class with it", _repeated(names))
        return list(dict.fromkeys(names))

    def records(self, split: SplitName) -> list[Record] | None:
        if self.is_one_file:
            return self._of_one_file.get(split)
        return self._read_file(self.json_files[split]) if split in self.json_files else None

    @cached_property
    def json_files(self) -> dict[SplitName, Path]:
        """The file of each split: the one that an option names, the one in its usual place, or the one so called."""
        found: dict[SplitName, Path] = {}
        for split in ("train", "val", "test"):
            if path := self._named(split) or self._usual(split) or self._marked(split):
                found[split] = path  # type: ignore[index]
        return found

    @cached_property
    def is_one_file(self) -> bool:
        """Has the data one file for all parts?"""
        is_for_all = self._part(self._train) is None and not any(self.named.values())
        return is_for_all and len(self.json_files) == 1

    @cached_property
    def _of_one_file(self) -> dict[SplitName, list[Record]]:
        return self.by_part(self._read_file(self._train))

    @property
    def _train(self) -> Path:
        if "train" not in self.json_files:
            raise self.nothing_found("JSON of COCO for training", "name the file with data.reader.train=..., ")
        return self.json_files["train"]

    def _named(self, split: str) -> Path | None:
        named = self.named[split]
        if named and not (self.root / named).is_file():
            raise UserError(f"data.reader.{split}={named}: there is no {self.root / named}")
        return self.root / named if named else None

    def _usual(self, split: str) -> Path | None:
        if self.annotations or not self.root.is_dir():
            return None
        return next((path for place in PLACES for path in sorted(self.root.glob(place.format(split)))), None)

    def _marked(self, split: str) -> Path | None:
        """The file that is called after the split, or lies in a folder of its name; for training one of no part."""
        of_part = [path for path in self._all_marked if self._part(path) == split]
        if not of_part and split == "train":
            of_part = [path for path in self._all_marked if self._part(path) is None]
        if len(of_part) > 1:
            listed = first_of([self.listing.named(path) for path in of_part], 4)
            raise UserError(f"{self.root}: {listed} may be the file of {split}; choose with data.reader.{split}=<file>")
        return of_part[0] if of_part else None

    @cached_property
    def _all_marked(self) -> list[Path]:
        listing = self.annotation_listing
        return annotation_files(listing) or (listing.of(".json") if len(listing.of(".json")) == 1 else [])

    def _part(self, path: Path) -> SplitName | None:
        words = path.stem.replace("-", "_").replace(".", "_").split("_")
        return next(filter(None, map(part_named, words)), None) or part_of(path, self.root)

    def _read_file(self, path: Path) -> list[Record]:
        content = self._content(path)
        if unknown := sorted({self._name(c) for c in self._categories(path)} - set(self.stated_classes())):
            raise UserError(
                f"{path}: its categories {first_of(unknown, 3)} are not those of {self._train.name}; use one list for "
                f"all files"
            )
        objects: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for item in content.get("annotations", []):
            if item.get("image_id") not in objects:
                raise UserError(
                    f"{path}: annotation {item.get('id')} is of image {item.get('image_id')}, which is not listed; "
                    f"add the image or delete the annotation"
                )
            objects[item["image_id"]].append(item)
        found = {image["id"]: self._image(image["file_name"], path) for image in content["images"]}
        if missing := [image["file_name"] for image in content["images"] if found[image["id"]] is None]:
            check_inside(leading_out(missing, path.parent), [self.root], path, len(found))
            raise self.missing(missing, len(found), path)
        names = {category["id"]: self._name(category) for category in self._categories(path)}
        labelled = "annotations" in content
        return [self._record(path, image, found[image["id"]], objects, names, labelled) for image in content["images"]]

    def _image(self, name: str, path: Path) -> Path | None:
        word = path.stem.rpartition("_")[2]
        for folder in (self.index.bases[0], self.root / word, self.root / "images" / word, self.root / "images"):
            if (place := straight(folder / name)) in self.index.paths:
                return place
        return self.index.named(name, path)

    def _record(
        self,
        path: Path,
        image: dict[str, Any],
        place: Path | None,
        objects: dict[Any, list[dict[str, Any]]],
        names: dict[int, str],
        labelled: bool,
    ) -> Record:
        assert place is not None
        source = f"{path}, {image['file_name']}"
        return Record(
            place,
            [_thing(item, names, source) for item in objects[image["id"]]],
            path,
            image["file_name"],
            (int(image.get("height") or 0), int(image.get("width") or 0)),
            image["id"] if isinstance(image["id"], int) else None,
            labelled,
        )

    def _content(self, path: Path) -> dict[str, Any]:
        if path not in self.contents:
            content = check(read_json(path), CONTENT, path)
            for key in ("images", "categories"):
                if repeated := _repeated([item["id"] for item in content[key]]):
                    raise UserError(f"{path}: two of its {key} have the id {repeated[0]}; give each its own")
            self.contents[path] = content
        return self.contents[path]

    def _categories(self, path: Path) -> list[dict[str, Any]]:
        """By id; without those that are only the kind of others, as Roboflow writes them."""
        content = self._content(path)
        used = {item.get("category_id") for item in content.get("annotations", [])}
        parents = {c.get("supercategory") for c in content["categories"] if isinstance(c.get("supercategory"), str)}
        kept = [
            c
            for c in content["categories"]
            if c["id"] in used or c.get("supercategory") != "none" or c["name"] not in parents
        ]
        return sorted(kept, key=lambda category: category["id"])

    def _name(self, category: dict[str, Any]) -> str:
        return str(category["name"] if category["name"] is not None else "").strip()


def _thing(item: dict[str, Any], names: dict[int, str], source: str) -> Thing:
    x, y, width, height = item["bbox"]
    outline = item.get("segmentation")
    crowd = int(item.get("iscrowd") or 0)
    if outline:
        check(outline, SEGMENTATION, source, "segmentation")
    return Thing(
        names.get(item.get("category_id")),  # type: ignore[arg-type]
        [x, y, x + width, y + height],
        crowd,
        outline or None,
        item.get("area"),
    )


def _repeated(values: list[Any]) -> list[Any]:
    """Those that stood before in the list."""
    seen: set[Any] = set()
    return [value for value in values if value in seen or seen.add(value)]  # type: ignore[func-returns-value]
