"""What `predict.py` does with a detector and images: boxes as files that other programs read, the images with them
drawn, and what they enclose.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from lightloom.callbacks.boxes.overlays import drawn_on
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.core.screen import show_table
from lightloom.data.boxes.writers import Boxes, stems
from lightloom.data.images.decode import read_whole
from lightloom.metrics.detection import Boxes as Found
from lightloom.ops.images.grid import write_jpeg
from lightloom.predict.boxes.finding import BATCH, Find, chosen_classes, finder
from lightloom.predict.boxes.predictor import Predictor
from lightloom.predict.boxes.writers import BoxFiles, write_crops
from lightloom.predict.faults import Faults
from lightloom.predict.images.batches import readable
from lightloom.predict.images.sources import Sources

log = logging.getLogger("lightloom")


def detect(cfg: DictConfig, trained: DictConfig, predictor: Predictor, sources: Sources) -> None:
    """Boxes of `min_score` or more in `format`; `drawn/<name>.jpg` shows them, `crops/<class>/` what they enclose."""
    output, classes = Path(cfg.paths.output_dir), plain(trained.data.classes)
    find = finder(cfg, predictor, chosen_classes(cfg.classes, classes), cfg.min_score)
    faults = Faults(output)
    draw, crop = cfg.draw, cfg.save_crops
    with BoxFiles(output, cfg.format or "coco", classes) as files:
        for name, stem, image, found in _found(cfg, trained, find, sources, faults):
            size = (image.shape[1], image.shape[2])
            files.add(Boxes(name, size, found["boxes"], found["labels"], found["scores"], found.get("masks")))
            if draw:
                write_jpeg(output / "drawn" / f"{stem}.jpg", drawn_on(image, found, classes))
            if crop:
                write_crops(output / "crops", stem, image, found, classes)
    count([image.labels for image in files.found], classes)
    drawn = f", drawn in {output / 'drawn'}" if cfg.draw else ""
    log.info("%d images: %s%s", len(files.found), files.path, drawn)
    faults.finish(len(files.found))


def _found(
    cfg: DictConfig, trained: DictConfig, find: Find, sources: Sources, faults: Faults
) -> Iterator[tuple[str, str, Tensor, Found]]:
    """Of each image in order its name, a name without suffix that no other has, its pixels and what is in it."""
    known: list[str] = []
    for paths, names in sources.rounds(cfg.idle):
        known += names
        own, given = stems(known)[-len(names) :], [str(path) for path in paths]
        read = partial(_read, paths, trained.data.channels)
        for numbers, images in readable(read, given, cfg.batch_size or BATCH, cfg.num_workers, faults):
            for number, image, found in zip(numbers, images, each(find, images), strict=True):
                if isinstance(found, UserError):
                    faults.add(given[number], found)
                else:
                    yield names[number], own[number], image, found


def each(find: Find, images: Sequence[Tensor]) -> list[Found | UserError]:
    """What is found in images at once; where one of them cannot be looked at, in each alone."""
    try:
        return list(find(images))
    except UserError as error:
        return [error] if len(images) == 1 else [found for image in images for found in each(find, [image])]


def count(labels: Sequence[Tensor], classes: Sequence[str]) -> None:
    """A table of how many boxes of each class were found, and in how many images. labels: (N,) of each image."""
    rows = []
    for label, name in enumerate(classes, 1):
        found = [int((one == label).sum()) for one in labels]
        if any(found):
            rows.append((name, sum(found), sum(n > 0 for n in found)))
    show_table(("class", "boxes", "images"), rows)
    empty = sum(not len(one) for one in labels)
    if not rows:
        log.warning("No box was found; a lower min_score= shows what was less certain.")
    elif empty:
        log.info("Nothing was found in %d of %d images.", empty, len(labels))


def _read(paths: Sequence[Path], channels: int, number: int) -> Tensor:
    return read_whole(paths[number], channels)
