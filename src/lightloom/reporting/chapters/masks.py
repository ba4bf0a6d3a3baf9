"""Classes of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class Masks(Chapter):
    """What segmenters leave: pages of masks; the table of each class's iou is among the metrics."""

    place = 35
    tasks = ("segmentation",)
    pipeline = "image-segmentation"
    example = "input=photos"
    hyperparameters = ("data.image_size", "data.height", "data.width")
    told = ("masks.png", "masks")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("classes", run.data.get("num_classes"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Images are float in [0, 1], (B, {run.data.get('channels')}, H, W) of any size; logits have the same "
            f"height and width. The module normalises them itself."
        )

    def pictures(self, run: Run) -> Mapping[str, str]:
        return {"masks.png": "The images with the most wrong pixels: image, truth, found, errors"}

    def pages(self, run: Run) -> Sequence[str]:
        return ("masks",)
