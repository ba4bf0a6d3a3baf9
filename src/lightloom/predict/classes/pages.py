"""Pages of small pictures of a set of labelled images, whole and centred, each in a square."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor

from lightloom.core.findings import Findings
from lightloom.core.text import line
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.decode import open_image
from lightloom.data.images.pixels import to_channels
from lightloom.data.images.readers import Split
from lightloom.ops.images import grid
from lightloom.ops.indices import evenly

CELL, COLUMNS, MOST_CLASSES = 96, 8, 30


@dataclass(frozen=True)
class Item:
    """An image by its part and place in it. label: -1 where it is unknown, or where there are several."""

    part: str
    place: int
    label: int
    name: str


def items_of(datamodule: ImageDataModule) -> Iterator[Item]:
    """Each image of each part."""
    for part, split in datamodule.splits.items():
        labels = split.labels.tolist() if split.labels is not None else [-1] * len(split)
        names = [str(path) for path in split.paths] if split.paths else [f"{part} {i}" for i in range(len(split))]
        single = [label if isinstance(label, int) else -1 for label in labels]
        yield from (Item(part, i, label, name) for i, (label, name) in enumerate(zip(single, names, strict=True)))


def has(labels: Tensor, label: int) -> Tensor:
    """Which images have a class, of labels (N,), or a tag, of (N, tags) in which it is 1."""
    return labels[:, label] > 0 if labels.ndim == 2 else labels == label


def sheet(found: Findings, datamodule: ImageDataModule, folder: Path) -> None:
    """A contact sheet: a row for each class, images evenly from its training images."""
    split = datamodule.splits.get("train") or next(iter(datamodule.splits.values()))
    classes = datamodule.classes or []
    shown, rows, names = range(min(len(classes), MOST_CLASSES)), [], []
    for label in shown:
        places = torch.arange(len(split)) if split.labels is None else has(split.labels, label).nonzero().flatten()
        chosen = places[evenly(len(places), COLUMNS)].tolist() if len(places) else []
        cells = [_thumbnail(datamodule, split, place) for place in chosen]
        rows += [*cells, *[torch.full((3, CELL, CELL), grid.PAPER, dtype=torch.uint8)] * (COLUMNS - len(cells))]
        names.append(line(classes[label])[:24])
    page = grid.captioned(grid.grid(torch.stack(rows), COLUMNS), left=names)
    grid.write_png(folder / "contact_sheet.png", page)
    more = f", the first {MOST_CLASSES} of {len(classes):,} classes" if len(classes) > MOST_CLASSES else ""
    found.picture("contact_sheet.png", f"Contact sheet{more}")


def thumbnail(datamodule: ImageDataModule, item: Item) -> Tensor:
    """The whole image, fitted into a square of CELL pixels: uint8 (3, CELL, CELL); grey where it cannot be read."""
    return _thumbnail(datamodule, datamodule.splits[item.part], item.place)


def _thumbnail(datamodule: ImageDataModule, split: Split, place: int) -> Tensor:
    try:
        image = _opened(split, place)
    except Exception:  # decoders raise what they please; the file is named among the findings
        return torch.full((3, CELL, CELL), 128, dtype=torch.uint8)
    inner = ImageOps.contain(image, (CELL, CELL), Image.Resampling.BILINEAR)
    page = Image.new("RGB", (CELL, CELL), (grid.PAPER,) * 3)
    page.paste(inner, ((CELL - inner.width) // 2, (CELL - inner.height) // 2))
    return grid.from_pil(page)


def _opened(split: Split, place: int) -> Image.Image:
    if split.images is not None:
        return grid.to_pil(grid.visible(split.images[place : place + 1])[0]).convert("RGB")
    (source,) = split.sources([place])
    with open_image(source, CELL) as image:
        return to_channels(ImageOps.exif_transpose(image), 3)


def pair(datamodule: ImageDataModule, one: Item, other: Item) -> Tensor:
    """Two images beside each other, their parts and classes above."""
    classes = datamodule.classes or []
    cells = [thumbnail(datamodule, item) for item in (one, other)]
    said = [f"{i.part} {line(classes[i.label])[:9] if i.label >= 0 else ''}" for i in (one, other)]
    return grid.captioned(grid.grid(torch.stack(cells), 2), top=said)


def add(found: Findings, folder: Path, cells: Sequence[Tensor], columns: int, file: str, shows: str) -> None:
    """Write small images, uint8 (3, H, W) each, as a page where there are any, and keep it among the findings."""
    if cells:
        grid.write_png(folder / file, grid.grid(torch.stack(list(cells)), columns))
        found.picture(file, shows)


def save(found: Findings, figure: Any, folder: Path, file: str, shows: str) -> None:
    """Write a figure of matplotlib and keep it among the findings."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / file, dpi=110)
    found.picture(file, shows)
