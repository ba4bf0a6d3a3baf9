"""Boxes of a video that another program found, followed where they have no numbers, and steadied."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.metrics.detection import Boxes
from lightloom.predict.boxes.video import Kept, compare, report
from lightloom.tracking.byte_track import Steady
from lightloom.tracking.mot import TrackFiles, no_boxes, read_boxes, read_tracks
from lightloom.tracking.smoothing import Unsmoothed

log = logging.getLogger("lightloom")


def smooth(cfg: DictConfig) -> None:
    """`boxes=` as <name>.csv and <name>.txt in the command's folder, with ids and without jitter."""
    if cfg.boxes is None:
        raise UserError("boxes is not set; name a MOT text file or a CSV of boxes: boxes=det.txt.")
    path = Path(str(cfg.boxes)).expanduser()
    truth = read_tracks(Path(str(cfg.truth)).expanduser()) if cfg.truth else None
    found, classes = read_boxes(path)
    method = build(cfg.smoothing, "smoothing") if cfg.get("smoothing") else Unsmoothed()
    kept, output = Kept(boxes=False, tracks=truth is not None), Path(cfg.paths.output_dir) / path.stem
    with TrackFiles(output, classes) as files:
        for number, (raw, steady) in enumerate(_steadied(cfg, list(_tracked(cfg, found)), Steady(method)), 1):
            files.write(number, steady)
            kept.add_tracks(raw, steady)
    report(kept, path.name, method)
    log.info("%d frames: %s.csv and %s.txt", kept.count, output, output.name)
    if truth is not None:
        compare(truth, kept, 1)


def _tracked(cfg: DictConfig, found: dict[int, Boxes]) -> Iterator[Boxes]:
    """Each frame's boxes with ids, those of the file or ByteTrack's."""
    frames = (found.get(number) or no_boxes() for number in range(1, max(found) + 1))
    if all("ids" in boxes for boxes in found.values()):
        yield from (boxes | {"ids": boxes.get("ids", boxes["labels"])} for boxes in frames)
        return
    tracker = build(cfg.tracking, "tracking", rate=cfg.rate)
    yield from map(tracker.update, frames)


def _steadied(cfg: DictConfig, tracked: list[Boxes], steady: Steady) -> Iterator[tuple[Boxes, Boxes]]:
    shown = (steady.update(boxes, 1 / cfg.rate) for boxes in tracked)
    settled = [boxes for boxes in shown if boxes is not None]
    yield from zip(tracked, [*settled, *steady.flush()], strict=True)
