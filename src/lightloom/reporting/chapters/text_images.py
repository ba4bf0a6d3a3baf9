"""Texts of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class Texts(Chapter):
    """What readers of texts leave: pages of readings; the accuracy of each place is among the metrics."""

    place = 45
    tasks = ("text recognition",)
    pipeline = "image-to-text"
    example = "input=photos"
    hyperparameters = ("data.height", "data.width", "model.beam_width")
    told = ("readings.png", "readings")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        low, high = run.data.get("min_length"), run.data.get("max_length")
        lengths = str(low) if low == high else f"{low} to {high}"
        return [("alphabet", run.data.get("alphabet")), ("symbols of a text", lengths)]

    def inputs(self, run: Run) -> str | None:
        shape = ", ".join(str(run.data.get(fact)) for fact in ("channels", "height", "width"))
        return (
            f"Pictures are float in [0, 1], (B, {shape}), their ratio kept, with white at the right; logits are of "
            f"each symbol and, first, of none. The module normalises them itself."
        )

    def pictures(self, run: Run) -> Mapping[str, str]:
        return {"readings.png": "The worst readings: the true text, and below each picture what was read, wrong in red"}

    def pages(self, run: Run) -> Sequence[str]:
        return ("readings",)
