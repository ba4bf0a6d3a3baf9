"""Boxes as files that other programs read: Pascal VOC's XML, COCO's JSON, YOLO's text and CSV.

Boxes are xyxy in pixels, labels count from 1 and classes[label - 1] is their name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
import yaml
from torch import Tensor

from lightloom.core.atomic_io import deduplicate
from lightloom.core.cells import Writer, open_csv
from lightloom.core.text import printable
from lightloom.data.boxes.annotations import AnnotatedImages


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image, true or detected. name: of its file, folders included. size: height and width. boxes:
    (N, 4); labels: (N,); scores: (N,) in [0, 1]; masks: (N, H, W), 0 or 1.
    """

    name: str
    size: tuple[int, int]
    boxes: Tensor
    labels: Tensor
    scores: Tensor | None = None
    masks: Tensor | None = None

    def rows(self) -> Iterable[tuple[list[float], int, float | None]]:
        """(box, label, score or None) of each object."""
        scores = [None] * len(self.labels) if self.scores is None else self.scores.tolist()
        return zip(self.boxes.tolist(), self.labels.tolist(), scores, strict=True)


def boxes_of(images: AnnotatedImages) -> list[Boxes]:
    """What a reader found, to be written in another layout; the images' sizes must be known."""
    found = []
    for known in images.annotations:
        assert known.size is not None
        masks = known.masks.read(known.size) if images.has_masks and known.masks else None
        found.append(Boxes(known.name, known.size, known.boxes, known.labels, masks=masks))
    return found


def stems(names: Iterable[str]) -> list[str]:
    """Names of files without their suffixes, folders included, with a number where another one is the same.

    What leads out of a folder is left out of them.
    """
    parts = ([p for p in PurePosixPath(name).parts if p.strip("/") not in ("", "..")] for name in names)
    return deduplicate(str(PurePosixPath(*inside).with_suffix("")) if inside else "unnamed" for inside in parts)


def write_voc(folder: Path, images: Sequence[Boxes], classes: Sequence[str]) -> None:
    """`folder`/<image>.xml each. VOC knows whole pixels, counted from 1, both corners in the box, which has
    one pixel at least; scores are added.
    """
    for image, stem in zip(images, stems(i.name for i in images), strict=True):
        root = ElementTree.Element("annotation")
        _texts(root, filename=image.name)
        height, width = image.size
        _texts(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
        for (x1, y1, x2, y2), label, score in image.rows():
            item = ElementTree.SubElement(root, "object")
            _texts(item, name=classes[label - 1], difficult=0)
            corners = ElementTree.SubElement(item, "bndbox")
            right, bottom = max(round(x2), 1), max(round(y2), 1)
            _texts(corners, xmin=min(round(x1) + 1, right), ymin=min(round(y1) + 1, bottom), xmax=right, ymax=bottom)
            if score is not None:
                _texts(item, score=f"{score:.6g}")
        ElementTree.indent(root)
        _write(folder / f"{stem}.xml", ElementTree.tostring(root, encoding="unicode") + "\n")


def write_coco(path: Path, images: Sequence[Boxes], classes: Sequence[str]) -> None:
    """One JSON file with images, categories and annotations, which have a `score` where boxes were detected."""
    content: dict[str, Any] = {"images": [], "annotations": []}
    for number, image in enumerate(images, 1):
        height, width = image.size
        content["images"].append({"id": number, "file_name": image.name, "height": height, "width": width})
        for index, ((x1, y1, x2, y2), label, score) in enumerate(image.rows()):
            item: dict[str, Any] = {
                "id": len(content["annotations"]) + 1,
                "image_id": number,
                "category_id": label,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
            if image.masks is not None:
                item |= {"segmentation": encode(image.masks[index]), "area": int(image.masks[index].sum())}
            if score is not None:
                item["score"] = score
            content["annotations"].append(item)
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    _write(path, json.dumps(content))


def write_yolo(folder: Path, images: Sequence[Boxes], classes: Sequence[str]) -> None:
    """`folder`/labels/<image>.txt each, with the score as sixth number where boxes were detected, and data.yaml."""
    for image, stem in zip(images, stems(i.name for i in images), strict=True):
        height, width = image.size
        lines = []
        for (x1, y1, x2, y2), label, score in image.rows():
            shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            numbers = [f"{share:.9f}" for share in shares] + ([] if score is None else [f"{score:.6g}"])
            lines.append(" ".join([str(label - 1), *numbers]) + "\n")
        _write(folder / "labels" / f"{stem}.txt", "".join(lines))
    facts = {"path": ".", "train": "images", "names": dict(enumerate(classes))}
    _write(folder / "data.yaml", yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))


def write_csv(path: Path, images: Sequence[Boxes], classes: Sequence[str]) -> None:
    """A row per box: image, class, score, x1, y1, x2, y2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_csv(path, "w") as file:
        writer = Writer(file)
        writer.write(["image", "class", "score", "x1", "y1", "x2", "y2"])
        for image in images:
            for box, label, score in image.rows():
                shown = "" if score is None else f"{score:.6g}"
                writer.write([image.name, classes[label - 1], shown, *(f"{v:.7g}" for v in box)])


def encode(mask: Tensor) -> dict[str, Any]:
    """A mask (H, W) as COCO's run lengths: columns from left to right, beginning with the zeros."""
    flat = mask.to(torch.uint8).t().reshape(-1).cpu().numpy()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes.tolist(), len(flat)]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if len(flat) and flat[0] else runs}


def _texts(node: ElementTree.Element, **texts: Any) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(node, name).text = printable(text)  # XML has no control characters


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
