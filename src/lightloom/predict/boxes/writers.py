"""What `predict.py` writes of boxes: files of them, the images with them drawn, and what they enclose."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from lightloom.core.text import file_name
from lightloom.data.boxes.writers import Boxes, encode, write_coco, write_csv, write_voc, write_yolo
from lightloom.metrics.detection import Boxes as Found
from lightloom.ops.images.grid import write_jpeg

Write = Callable[[Path, Sequence[Boxes], Sequence[str]], None]
SHARE = 0.05  # of the time that passes, for writing what has been found so far
PAUSE = 10.0  # seconds between two such writings, at least


def write_coco_results(path: Path, images: Sequence[Boxes], classes: Sequence[str]) -> None:
    """COCO's list of results: image_id, category_id (from 1), bbox (x, y, width, height) and score of each box.

    image_id is the image's name without suffix where that is a number, as COCO's are, or else the name.
    """
    rows: list[dict[str, Any]] = []
    for image in images:
        stem = PurePosixPath(image.name).stem
        number = int(stem) if stem.isdecimal() else image.name
        for index, ((x1, y1, x2, y2), label, score) in enumerate(image.rows()):
            row = {"image_id": number, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
            rows.append(row | ({} if image.masks is None else {"segmentation": encode(image.masks[index])}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


WRITERS: dict[str, tuple[str, Write]] = {  # format: where, and who writes it
    "coco": ("boxes.json", write_coco),
    "coco_results": ("results.json", write_coco_results),
    "voc": ("voc", write_voc),
    "yolo": ("yolo", write_yolo),
    "csv": ("boxes.csv", write_csv),
}


class BoxFiles:
    """The boxes of images in one format, written now and then, and when they end or something ends them."""

    def __init__(self, folder: Path, form: str, classes: Sequence[str]) -> None:
        where, self._write = WRITERS[form]
        self.path, self.classes = folder / where, classes
        self.found: list[Boxes] = []
        self._due = time.monotonic() + PAUSE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._write(self.path, self.found, self.classes)

    def add(self, boxes: Boxes) -> None:
        self.found.append(boxes)
        started = time.monotonic()
        if started > self._due:
            self._write(self.path, self.found, self.classes)
            now = time.monotonic()
            self._due = now + max(PAUSE, (now - started) / SHARE)


def write_crops(folder: Path, stem: str, image: Tensor, found: Found, classes: Sequence[str]) -> None:
    """`folder`/<class>/<stem>-<number>.jpg: what each box encloses, whole pixels; of tracks the track's number.

    image: uint8 (C, H, W).
    """
    numbers = found["ids"].tolist() if "ids" in found else range(1, len(found["labels"]) + 1)
    height, width = image.shape[-2:]
    for number, label, (x1, y1, x2, y2) in zip(numbers, found["labels"].tolist(), found["boxes"].tolist(), strict=True):
        left, top = min(max(int(x1), 0), width - 1), min(max(int(y1), 0), height - 1)
        right, bottom = max(min(round(x2), width), left + 1), max(min(round(y2), height), top + 1)
        write_jpeg(folder / file_name(classes[label - 1]) / f"{stem}-{number}.jpg", image[:, top:bottom, left:right])
