"""What `predict.py` does with a detector: boxes as files that other programs read, and the images with them drawn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from lightloom.callbacks.boxes.overlays import confident, drawn_on
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError, did_you_mean
from lightloom.core.screen import show_table
from lightloom.data.boxes.annotations import read_whole
from lightloom.data.boxes.writers import Boxes, stems, write_coco, write_csv, write_voc, write_yolo
from lightloom.data.images.datamodule import to_float
from lightloom.ops.images.grid import write_png
from lightloom.predict.boxes.predictor import Predictor
from lightloom.predict.faults import Faults

log = logging.getLogger("lightloom")
Writer = Callable[[Path, Sequence[Boxes], Sequence[str]], None]
WRITERS: dict[str, tuple[str, Writer]] = {  # format: where, and who writes it
    "coco": ("boxes.json", write_coco),
    "voc": ("voc", write_voc),
    "yolo": ("yolo", write_yolo),
    "csv": ("boxes.csv", write_csv),
}


def detect(
    cfg: DictConfig, trained: DictConfig, predictor: Predictor, paths: Sequence[Path], names: Sequence[str]
) -> None:
    """Boxes of `min_score` or more in `format`; `drawn/<name>.png` shows them. One image after another.

    names: of the images, as the files of boxes call them.
    """
    output, classes = Path(cfg.paths.output_dir), plain(trained.data.classes)
    only = chosen_classes(cfg.classes, classes)
    where, write = WRITERS[cfg.format or "coco"]
    faults = Faults(output)
    found: list[Boxes] = []
    try:
        for path, name, stem in zip(paths, names, stems(names), strict=True):
            try:
                image = to_float(read_whole(path, trained.data.channels))
                (raw,) = predictor.predict([image])
            except UserError as error:
                faults.add(str(path), error)
                continue
            kept = of_classes(confident(raw, cfg.min_score), only)
            size = (image.shape[1], image.shape[2])
            found.append(Boxes(name, size, kept["boxes"], kept["labels"], kept["scores"], kept.get("masks")))
            write_png(output / "drawn" / f"{stem}.png", drawn_on(image, kept, classes))
    finally:  # what was found until something ended it is written too
        write(output / where, found, classes)
    count(found, classes)
    log.info("%d images: %s, drawn in %s", len(found), output / where, output / "drawn")
    faults.finish(len(found))


def chosen_classes(names: Sequence[str] | None, classes: Sequence[str]) -> list[int] | None:
    """The labels of the classes that `classes=` names, or None for all; UserError for one that the detector lacks."""
    if names is None:
        return None
    listed = [names] if isinstance(names, str | int) else list(names)
    unknown = [str(name) for name in listed if str(name) not in classes]
    if unknown:
        raise UserError(
            f"classes={unknown[0]}: the detector has no such class.{did_you_mean(unknown[0], classes)} It knows "
            f"{', '.join(classes)}."
        )
    return [classes.index(str(name)) + 1 for name in listed]


def of_classes(found: dict[str, Tensor], labels: list[int] | None) -> dict[str, Tensor]:
    """The detections that have one of these labels; all where labels is None."""
    if labels is None:
        return found
    kept = torch.isin(found["labels"], torch.tensor(labels, device=found["labels"].device))
    return {name: values[kept] for name, values in found.items()}


def count(found: Sequence[Boxes], classes: Sequence[str]) -> None:
    """A table of how many boxes of each class were found."""
    rows = []
    for label, name in enumerate(classes, 1):
        per_image = [int((image.labels == label).sum()) for image in found]
        if any(per_image):
            rows.append((name, sum(per_image), sum(n > 0 for n in per_image)))
    show_table(("class", "boxes", "images"), rows)
    if not rows:
        log.warning("No box was found; a lower min_score= shows what was less certain.")
