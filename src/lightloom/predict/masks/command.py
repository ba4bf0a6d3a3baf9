"""Masks of the images of `input=`, and of its films: masks/, overlay/ and areas.csv."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from torchvision.ops import masks_to_boxes

from lightloom.callbacks.masks.overlays import overlaid, palette
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError, raise_all
from lightloom.core.screen import show_table
from lightloom.data.boxes.writers import Boxes, stems
from lightloom.data.images.decode import read_whole
from lightloom.ops.images.grid import JPEG_QUALITY, to_pil
from lightloom.predict.boxes.writers import BoxFiles
from lightloom.predict.faults import Faults
from lightloom.predict.images.batches import readable
from lightloom.predict.images.sources import Sources, find
from lightloom.predict.masks.areas import BAND, HEADER, areas, region_of
from lightloom.predict.masks.predictor import Predictor
from lightloom.predict.masks.video import segment_videos
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
BATCH = 8  # images at a time; those of one size go through the network together


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Segment the images of `input=`, and its films. See `lightloom.predict.contract`."""
    sources = find(cfg.input, videos=True, watch=cfg.watch)
    if cfg.format and sources.videos:
        raise UserError(f"format={cfg.format} writes the masks of images; leave it out for films, or name images only.")
    problems: list[str] = []
    steps: list[tuple[Any, Callable[..., None]]] = [
        (sources.videos, segment_videos),
        (sources.images or sources.watched, segment_images),
    ]
    for given, do in steps:
        try:
            if given:
                do(cfg, trained, predictor, sources)
        except UserError as error:
            problems += str(error).splitlines()
    raise_all(problems)


def segment_images(cfg: DictConfig, trained: DictConfig, predictor: Predictor, sources: Sources) -> None:
    """`masks/<name>.png` and `overlay/<name>.jpg` of each image, and a row of areas.csv for each class in it.

    Of a.png and a.jpg the second is called otherwise, as the boxes' files are.
    """
    output, classes = Path(cfg.paths.output_dir), plain(trained.data.classes)
    faults, shares = Faults(output), list[dict[str, float]]()
    written = BoxFiles(output, cfg.format, classes) if cfg.format else nullcontext()
    known = list[str]()
    with Table(output / "areas.csv", ("file", *HEADER)) as table, written as files:
        for paths, names in sources.rounds(cfg.idle):
            known += names
            own = stems(known)[-len(names) :]
            read = partial(_read, paths, trained.data.channels)
            given = [str(path) for path in paths]
            for numbers, images in readable(read, given, cfg.batch_size or BATCH, cfg.num_workers, faults):
                masks = predictor.predict(images, cfg.tile, cfg.tile_overlap)
                for number, image, mask in zip(numbers, images, masks, strict=True):
                    write(output, own[number], image, mask)
                    if files:
                        files.add(as_objects(names[number], mask))
                    rows = areas(mask, classes, cfg.min_area, region_of(cfg.roi, *mask.shape))
                    table.add([(names[number], *row) for row in rows])
                    shares.append({row[0]: row[2] for row in rows})
    show_shares(shares, classes)
    log.info("%d images: masks, overlay and areas.csv in %s", len(shares), output)
    faults.finish(len(shares))


def _read(paths: Sequence[Path], channels: int, number: int) -> Tensor:
    return read_whole(paths[number], channels)


def write(output: Path, stem: str, image: Tensor, mask: Tensor) -> None:
    """Both files of an image, uint8 (C, H, W), with its mask, uint8 (H, W). stem: of the files, without a suffix."""
    write_mask(output / "masks" / f"{stem}.png", mask)
    path = output / "overlay" / f"{stem}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    page = Image.new("RGB", (image.shape[2], image.shape[1]))
    for top in range(0, page.height, BAND):  # of a large picture a copy is large
        rows = slice(top, top + BAND)
        page.paste(to_pil(overlaid(image[:, rows].expand(3, -1, -1), mask[rows])), (0, top))
    page.save(path, quality=JPEG_QUALITY)


def as_objects(name: str, mask: Tensor) -> Boxes:
    """Each class of a mask (H, W) as one object with its outline; label 1 is class 0. name: of the image's file."""
    found = torch.unique(mask)
    each = mask == found[:, None, None]
    boxes = masks_to_boxes(each) + torch.tensor([0, 0, 1, 1])
    return Boxes(name, (mask.shape[0], mask.shape[1]), boxes, found.long() + 1, masks=each)


def show_shares(shares: Sequence[dict[str, float]], classes: Sequence[str]) -> None:
    """A table of each class that was found: its mean share, and in how many images it is."""
    rows = []
    for name in classes:
        found = [share[name] for share in shares if name in share]
        if found:
            rows.append((name, f"{sum(found) / len(shares):.4f}", len(found)))
    show_table(("class", "mean share", "images"), rows, left=1)


def write_mask(path: Path, mask: Tensor) -> None:
    """An index PNG: its values are classes, its palette shows them. mask: uint8 (H, W)."""
    image = Image.fromarray(mask.numpy(), "P")
    image.putpalette(palette().flatten().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
