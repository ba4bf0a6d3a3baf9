"""What predict.py asks of masks alone; `config.rules` reads the annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightloom.core.ranges import BelowOne, Count, Natural, Share


@dataclass(frozen=True)
class Options:
    """tile: the side of tiles, in pixels; tile_overlap: of neighbours, a share of it. min_area: pixels of a component
    that is counted. alpha: the weight of a film's new frame, 1 without steadying. roi: corners of the polygon whose
    areas are measured, x and y by turns, as shares of the width and the height.
    """

    tile: Count | None
    tile_overlap: BelowOne
    min_area: Natural
    alpha: Share
    roi: Sequence[Share] | None
