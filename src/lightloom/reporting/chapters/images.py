"""What all models of images have in common."""

from __future__ import annotations

from typing import Any

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class OfImages(Chapter):
    """The classes of the data, and the shape of its images."""

    example: str | None = "input=photos"
    hyperparameters = ("data.image_size",)
    sizes = ""  # what else may be said of them

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("classes", run.data.get("num_classes"))]

    def inputs(self, run: Run) -> str | None:
        channels, side = run.data.get("channels"), run.data.get("image_size")
        if not (channels and side):
            return None
        shape = f"(B, {channels}, {side}, {side})"
        return f"Images are float in [0, 1], {shape}{self.sizes}; the module normalises them itself."
