"""What predict.py and inspect_data.py ask of boxes alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightloom.core.ranges import Count, Positive, Share

Format = Literal["coco", "voc", "yolo", "csv"]


@dataclass(frozen=True)
class Options:
    """min_score: of a box that is kept. max_frames, seconds: of a video, null for all. num_images: on a page."""

    format: Format | None
    min_score: Share
    max_frames: Count | None
    seconds: Positive | None
    num_images: Count
