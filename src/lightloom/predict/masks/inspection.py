"""What is in a data set with masks, for a person to read: classes, what is ignored, sizes, and a page of images."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.callbacks.masks.overlays import SIDE, overlaid
from lightloom.core.screen import show_table
from lightloom.data.masks.augment import resized
from lightloom.data.masks.datamodule import SegmentationDataModule
from lightloom.data.masks.decode import IGNORE
from lightloom.ops.images.grid import PAPER, grid, write_png
from lightloom.ops.indices import evenly

log = logging.getLogger("lightloom")
SPLITS = ("train", "val", "test")
MOST = 500  # images of a split whose masks are counted, evenly taken


def accepts(datamodule: pl.LightningDataModule) -> bool:
    """Has it masks?"""
    return isinstance(datamodule, SegmentationDataModule)


def inspect(datamodule: SegmentationDataModule, cfg: DictConfig) -> None:
    """Tables of classes and sizes, what is wrong with files, and inspection.png."""
    counts = {name: counted(datamodule, name) for name in SPLITS if _has(datamodule, name)}
    _show_splits(counts)
    _show_classes(datamodule.classes or [], counts)
    for split, files in datamodule.unreadable().items():
        for path, reason in list(files.items())[:10]:
            log.warning("%s: %s", split, reason if str(path) in reason else f"{path}: {reason}")
    path = draw(datamodule, cfg.split, cfg.num_images, Path(cfg.paths.output_dir))
    log.info("Images and their masks: %s", path)


def counted(datamodule: SegmentationDataModule, name: str) -> dict[str, Any]:
    """images; sizes, a set of (height, width); pixels int64 (N, K + 1) of each class and, last, of those ignored."""
    split, classes = datamodule.split(name), datamodule.num_classes or 0
    chosen = evenly(len(split), MOST)
    rows, sizes = [], set()
    for i in chosen:
        mask = split[i][1]
        sizes.add(tuple(mask.shape))
        rows.append(torch.where(mask == IGNORE, classes, mask.long()).flatten().bincount(minlength=classes + 1))
    return {"images": len(split), "sizes": sizes, "pixels": torch.stack(rows)}


def draw(datamodule: SegmentationDataModule, name: str, count: int, folder: Path) -> Path:
    """Write inspection.png: images beside themselves with their masks. Returns its path."""
    split = datamodule.split(name)
    cells = [cell for i in evenly(len(split), count) for cell in _pair(*split[i])]
    path = folder / "inspection.png"
    write_png(path, grid(torch.stack(cells), 4))
    return path


def _pair(image: Tensor, mask: Tensor) -> list[Tensor]:
    factor = SIDE / max(mask.shape)
    image, mask = resized(image, mask, [max(1, round(side * factor)) for side in mask.shape])
    colour = image.expand(3, -1, -1)
    page = torch.full((2, 3, SIDE, SIDE), PAPER, dtype=torch.uint8)
    page[:, :, : mask.shape[0], : mask.shape[1]] = torch.stack([colour, overlaid(colour, mask)])
    return list(page)


def _show_splits(counts: dict[str, dict[str, Any]]) -> None:
    rows = []
    for name, found in counts.items():
        pixels, sizes = found["pixels"], sorted(found["sizes"])
        ignored = float(pixels[:, -1].sum() / pixels.sum())
        span = " to ".join(f"{width} x {height}" for height, width in dict.fromkeys((sizes[0], sizes[-1])))
        rows.append((name, f"{found['images']:,}", span, f"{100 * ignored:.2f} %"))
    show_table(("split", "images", "width x height", "ignored pixels"), rows, "masks", left=1)


def _show_classes(classes: list[str], counts: dict[str, dict[str, Any]]) -> None:
    columns = [column for name in counts for column in (f"{name}: pixels", "images")]
    rows = []
    for k, name in enumerate(classes):
        cells = []
        for found in counts.values():
            pixels = found["pixels"][:, :-1]
            share = float(pixels[:, k].sum() / pixels.sum().clamp(min=1))
            cells += [f"{100 * share:.2f} %", f"{int((pixels[:, k] > 0).sum()):,}"]
        rows.append((name, *cells))
    show_table(("class", *columns), rows, "classes", left=1)
    if "train" in counts:
        unseen = [name for k, name in enumerate(classes) if not counts["train"]["pixels"][:, k].any()]
        if unseen:
            log.warning("No training mask that was counted has %s; nothing can be learnt of it.", ", ".join(unseen))


def _has(datamodule: SegmentationDataModule, name: str) -> bool:
    return name != "test" or datamodule.can_be_tested()
