"""What predict.py asks of any files; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass

from lightloom.core.ranges import Positive


@dataclass(frozen=True)
class Options:
    """watch: go on with what comes into the folder later. idle: seconds without one that end it; null: Ctrl-C does."""

    watch: bool
    idle: Positive | None
