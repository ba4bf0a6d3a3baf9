"""What predict.py asks of classes alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Saliency = Literal["grad_cam", "rollout"]


@dataclass(frozen=True)
class Options:
    """saliency: how it is found where a classifier looks; None: it is not asked."""

    saliency: Saliency | None
