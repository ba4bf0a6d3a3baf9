"""What is in a data set with boxes, for a person to read: classes, sizes and a page of images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms import v2

from lightloom.callbacks.boxes.overlays import SIDE, drawn_on
from lightloom.core.findings import Findings
from lightloom.data.boxes.annotations import AnnotatedImages, Target, box_area
from lightloom.data.boxes.augment import apply
from lightloom.data.boxes.datamodule import DetectionDataModule, Split
from lightloom.data.boxes.proposals import recall
from lightloom.data.boxes.validation import MENDED
from lightloom.ops.images import grid
from lightloom.ops.indices import evenly
from lightloom.predict import inspection

log = logging.getLogger("lightloom")

SPLITS = ("train", "val", "test")
BOUNDS = (0, 8, 16, 32, 64, 96, 128, 256, 512, float("inf"))  # of a box's size, the root of its area, in pixels
MEASURED = 100  # images of a split, evenly, whose proposals are measured
NUMBERS, OVERLAPS = (10, 30, 100, 300, 1000), (0.5, 0.7)  # of proposals, and IoU from which an object is found
CELL = SIDE  # pixels of a side of an image on the page


def accepts(datamodule: pl.LightningDataModule) -> bool:
    """Has it boxes?"""
    return isinstance(datamodule, DetectionDataModule)


def inspect(datamodule: DetectionDataModule, cfg: DictConfig) -> Findings:
    """Tables of classes and sizes, and inspection.png: images with their boxes."""
    found = inspection.begin(datamodule, cfg)
    report(found, datamodule)
    report_recall(found, datamodule, cfg.split)
    picture = draw(datamodule, cfg.split, cfg.num_images, cfg.paths.output_dir)
    found.picture(picture.name, f"images of {cfg.split} with their boxes")
    return found


def report(found: Findings, datamodule: DetectionDataModule) -> None:
    """What each split holds, how often each class occurs in it, how large its boxes are and what was mended."""
    splits = {name: list(known(datamodule.splits[name])) for name in SPLITS if name in datamodule.splits}
    columns, parts = list(splits), list(splits.values())
    _add(found, found.title, columns, sizes_of(parts))
    counts = zip(*(class_counts(items, datamodule.num_classes or 0) for items in parts), strict=True)
    _add(found, "boxes per class", columns, dict(zip(datamodule.classes or [], counts, strict=True)))
    names = [f"{low:g} to {high:g} px" for low, high in pairwise(BOUNDS)]
    histograms = zip(*map(size_histogram, parts), strict=True)
    sizes = {name: row for name, row in zip(names, histograms, strict=True) if any(row)}
    _add(found, "boxes by the root of their area", columns, sizes)
    for name, faults in datamodule.faults.items():
        found.notes.extend(f"{name}: {line}" for line in faults.lines(MENDED))


def report_recall(found: Findings, datamodule: DetectionDataModule, split: str) -> None:
    """Which share of the objects some proposal overlaps, by how many of an image's proposals are used."""
    if datamodule.proposals is None:
        return
    images = datamodule.split(split)
    chosen = evenly(len(images), MEASURED)
    datamodule.proposals.prepare(images, chosen, split)
    pairs = [(datamodule.proposals(image), target) for image, target in (images[i] for i in chosen)]
    truths = [target["boxes"][target["iscrowd"] == 0] for _, target in pairs]
    most = max(len(boxes) for boxes, _ in pairs)
    numbers = [*(number for number in NUMBERS if number < most), most]
    shares = [recall([boxes[:number] for boxes, _ in pairs], truths, OVERLAPS) for number in numbers]
    rows = [(f"{n:,}", *(f"{share:.3f}" for share in of)) for n, of in zip(numbers, shares, strict=True)]
    mean = sum(len(boxes) for boxes, _ in pairs) / len(pairs)
    found.table("proposals", [f"recall at IoU {x}" for x in OVERLAPS], rows, f"recall of proposals, {split}")
    found.note(
        f"{len(pairs):,} images of {split} have {mean:,.0f} proposals each in the mean; no mAP50 is above recall."
    )


def sizes_of(parts: list[list[tuple[Tensor, Tensor]]]) -> dict[str, list[int]]:
    """How many images each split has, how many of them without boxes, and how many boxes in all and at most."""
    counts = [[len(labels) for _, labels in items] for items in parts]
    return {
        "images": [len(of) for of in counts],
        "without boxes": [of.count(0) for of in counts],
        "boxes": [sum(of) for of in counts],
        "most in one image": [max(of) for of in counts],
    }


def known(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Boxes (N, 4) and labels (N,) of each image; files are not decoded for it."""
    if isinstance(split, AnnotatedImages):
        yield from ((a.boxes, a.labels) for a in split.annotations)
    else:
        yield from ((target["boxes"], target["labels"]) for _, target in (split[i] for i in range(len(split))))


def class_counts(items: list[tuple[Tensor, Tensor]], num_classes: int) -> list[int]:
    """How many boxes each class has."""
    return torch.cat([labels for _, labels in items]).bincount(minlength=num_classes + 1)[1:].tolist()


def size_histogram(items: list[tuple[Tensor, Tensor]]) -> list[int]:
    """How many boxes are between each two of BOUNDS, the upper one left out."""
    sizes = box_area(torch.cat([boxes for boxes, _ in items])).sqrt()
    where = torch.bucketize(sizes, torch.tensor(BOUNDS[1:-1], dtype=torch.float32), right=True)
    return where.bincount(minlength=len(BOUNDS) - 1).tolist()


def draw(datamodule: DetectionDataModule, split: str, num_images: int, folder: str | Path) -> Path:
    """Write inspection.png: images of a split with their boxes, masks and classes. Returns its path."""
    images = datamodule.split(split)
    cells = [overlay(*images[i], datamodule.classes or []) for i in evenly(len(images), num_images)]
    path = Path(folder) / "inspection.png"
    grid.write_png(path, grid.grid(torch.stack(cells), max(round(len(cells) ** 0.5), 1)))
    log.info("Images with their boxes: %s", path)
    return path


def overlay(image: Tensor, target: Target, classes: list[str]) -> Tensor:
    """The image with its boxes, fitted into a square: uint8 (3, CELL, CELL)."""
    fitted, boxes = apply(v2.Resize(None, max_size=CELL, antialias=True), image, target)
    page = drawn_on(fitted, boxes, classes)
    return pad(page, (0, CELL - page.shape[2], 0, CELL - page.shape[1]), value=grid.PAPER)


def _add(found: Findings, title: str, columns: list[str], rows: dict[str, Any]) -> None:
    found.table("", columns, [(name, *(f"{value:,}" for value in values)) for name, values in rows.items()], title)
