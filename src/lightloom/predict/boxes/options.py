"""What predict.py and inspect_data.py ask of boxes alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightloom.core.ranges import BelowOne, Count, Positive, Share

Format = Literal["coco", "coco_results", "voc", "yolo", "csv"]


@dataclass(frozen=True)
class Options:
    """min_score: of a box that is kept. iou: above which of two boxes of a class the better one is kept. tile: pixels
    of a side. max_frames, seconds, stride, rate: of a video. num_images: on a page. Null is all, or the detector's own.
    """

    format: Format | None
    min_score: Share
    iou: Share | None
    max_detections: Count | None
    agnostic_nms: bool
    half: bool
    augment: bool
    tile: Count | None
    tile_overlap: BelowOne
    draw: bool
    save_crops: bool
    max_frames: Count | None
    seconds: Positive | None
    stride: Count
    rate: Positive
    num_images: Count
