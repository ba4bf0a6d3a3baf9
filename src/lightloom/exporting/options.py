"""What export.py alone takes; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightloom.core.ranges import Positive


@dataclass(frozen=True)
class Options:
    """tolerance: largest difference to the model's own answers, above 0."""

    format: Literal["onnx", "torch_export", "safetensors"] | None  # of predict.py too, where it may be left out
    tolerance: Positive
    benchmark: bool
