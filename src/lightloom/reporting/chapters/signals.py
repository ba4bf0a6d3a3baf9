"""Models of signals."""

from __future__ import annotations

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class Signals(Chapter):
    """The shape of the data."""

    tasks = ("signal reconstruction",)
    hyperparameters = ("data.length",)

    def inputs(self, run: Run) -> str | None:
        return f"Signals are float in [0, 1], (B, {run.data.get('channels')}, {run.data.get('length')})."
