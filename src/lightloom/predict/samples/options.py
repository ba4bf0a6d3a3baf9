"""What predict.py asks of new samples alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from lightloom.core.ranges import Count


@dataclass(frozen=True)
class Options:
    """num_samples: how many are drawn, of each class where classes are named; None where something else is predicted.
    truncation: share of N(0, 1), about its middle, that latents are drawn from; 1: all of it.
    """

    num_samples: Count | None
    truncation: Annotated[float, Gt(0), Le(1)]
