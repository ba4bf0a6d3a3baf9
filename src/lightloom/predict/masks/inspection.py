"""What is in a data set with masks, for a person to read: classes, what is ignored, sizes, and a page of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.callbacks.masks.overlays import SIDE, overlaid
from lightloom.core.findings import Findings
from lightloom.data.masks.augment import resized
from lightloom.data.masks.datamodule import SegmentationDataModule
from lightloom.data.masks.decode import IGNORE
from lightloom.ops.images.grid import PAPER, grid, write_png
from lightloom.ops.indices import evenly
from lightloom.predict import inspection

SPLITS = ("train", "val", "test")
MOST = 500  # images of a split whose masks are counted, evenly taken


def accepts(datamodule: pl.LightningDataModule) -> bool:
    """Has it masks?"""
    return isinstance(datamodule, SegmentationDataModule)


def inspect(datamodule: SegmentationDataModule, cfg: DictConfig) -> Findings:
    """Tables of classes and sizes, what is wrong with files, and inspection.png."""
    found = inspection.begin(datamodule, cfg)
    counts = {name: counted(datamodule, name) for name in SPLITS if _has(datamodule, name)}
    _add_splits(found, counts)
    _add_classes(found, datamodule.classes or [], counts)
    for split, files in datamodule.unreadable().items():
        for path, reason in list(files.items())[:10]:
            found.note(f"{split}: {reason if str(path) in reason else f'{path}: {reason}'}")
    path = draw(datamodule, cfg.split, cfg.num_images, Path(cfg.paths.output_dir))
    found.picture(path.name, f"images of {cfg.split} and their masks")
    return found


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


def _add_splits(found: Findings, counts: dict[str, dict[str, Any]]) -> None:
    rows = []
    for name, part in counts.items():
        pixels, sizes = part["pixels"], sorted(part["sizes"])
        ignored = float(pixels[:, -1].sum() / pixels.sum())
        span = " to ".join(f"{width} x {height}" for height, width in dict.fromkeys((sizes[0], sizes[-1])))
        rows.append((name, f"{part['images']:,}", span, f"{100 * ignored:.2f} %"))
    found.table("split", ["images", "width x height", "ignored pixels"], rows, "masks")


def _add_classes(found: Findings, classes: list[str], counts: dict[str, dict[str, Any]]) -> None:
    columns = [column for name in counts for column in (f"{name}: pixels", "images")]
    rows = []
    for k, name in enumerate(classes):
        cells = []
        for part in counts.values():
            pixels = part["pixels"][:, :-1]
            share = float(pixels[:, k].sum() / pixels.sum().clamp(min=1))
            cells += [f"{100 * share:.2f} %", f"{int((pixels[:, k] > 0).sum()):,}"]
        rows.append((name, *cells))
    found.table("class", columns, rows, "classes")
    if "train" in counts:
        unseen = [name for k, name in enumerate(classes) if not counts["train"]["pixels"][:, k].any()]
        if unseen:
            found.note(f"No training mask that was counted has {', '.join(unseen)}; nothing can be learnt of it.")


def _has(datamodule: SegmentationDataModule, name: str) -> bool:
    return name != "test" or datamodule.can_be_tested()
