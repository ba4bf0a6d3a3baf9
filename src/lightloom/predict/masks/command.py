"""Masks of the images of `input=`, or of its film: masks/, overlay/ and areas.csv."""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from lightloom.callbacks.masks.overlays import overlaid, palette
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.core.screen import show_table
from lightloom.data.images.readers import is_video
from lightloom.data.masks.split import read_whole
from lightloom.ops.images.grid import to_pil
from lightloom.predict.faults import Faults
from lightloom.predict.images import find_images, relative_names
from lightloom.predict.masks.areas import HEADER, areas, region_of
from lightloom.predict.masks.predictor import Predictor
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
JPEG_QUALITY = 90


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """See `lightloom.predict.contract`."""
    if is_video(Path(str(cfg.input)).expanduser()):
        from lightloom.predict.masks.video import segment_video

        segment_video(cfg, trained, predictor, Path(str(cfg.input)).expanduser())
        return
    output, classes = Path(cfg.paths.output_dir), plain(trained.data.classes)
    paths, faults = find_images(str(cfg.input)), Faults(output)
    shares: dict[str, list[float]] = {name: [] for name in classes}
    count = 0
    with Table(output / "areas.csv", ("file", *HEADER)) as table:
        for path, name in zip(paths, relative_names(str(cfg.input), paths), strict=True):
            try:
                image = read_whole(path, trained.data.channels)
            except UserError as error:
                faults.add(str(path), error)
                continue
            (mask,) = predictor.predict([image], cfg.tile, cfg.tile_overlap)
            write_mask(output / "masks" / Path(name).with_suffix(".png"), mask)
            write_jpeg(output / "overlay" / Path(name).with_suffix(".jpg"), overlaid(image.expand(3, -1, -1), mask))
            rows = areas(mask, classes, cfg.min_area, region_of(cfg.roi, *mask.shape))
            table.add([(name, *row) for row in rows])
            found = {row[0]: row[2] for row in rows}
            for one, share in shares.items():
                share.append(found.get(one, 0.0))
            count += 1
    rows = [(name, f"{sum(s) / count:.4f}", sum(x > 0 for x in s)) for name, s in shares.items() if any(s)]
    show_table(("class", "mean share", "images"), rows, left=1)
    log.info("%d images: masks, overlay and areas.csv in %s", count, output)
    faults.finish(count)


def write_mask(path: Path, mask: Tensor) -> None:
    """An index PNG: its values are classes, its palette shows them. mask: uint8 (H, W)."""
    image = Image.fromarray(mask.numpy(), "P")
    image.putpalette(palette().flatten().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_jpeg(path: Path, image: Tensor) -> None:
    """image: uint8 (3, H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil(image).save(path, quality=JPEG_QUALITY)
