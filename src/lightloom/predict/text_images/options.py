"""What predict.py asks of texts alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass

from lightloom.core.ranges import Count


@dataclass(frozen=True)
class Options:
    """beam_width: texts that are followed while columns are read; 1: the likeliest path, None: the model's own."""

    beam_width: Count | None
