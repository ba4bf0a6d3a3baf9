"""What predict.py asks of new samples alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass

from lightloom.core.ranges import Count


@dataclass(frozen=True)
class Options:
    """num_samples: how many are drawn; None where something else is predicted."""

    num_samples: Count | None
