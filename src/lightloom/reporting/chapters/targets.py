"""Labels and numbers of images."""

from __future__ import annotations

from typing import Any

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class Targets(Chapter):
    """What taggers and regressors leave: measures of each label or number, among the metrics."""

    place = 46
    tasks = ("tagging", "regression")
    pipeline = "image-classification"
    example = "input=photos"
    hyperparameters = ("data.image_size", "model.head_epochs")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("targets", ", ".join(map(str, run.data.get("classes") or [])))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Images are float in [0, 1], (B, {run.data.get('channels')}, {run.data.get('image_size')}, "
            f"{run.data.get('image_size')}); the module normalises them itself."
        )
