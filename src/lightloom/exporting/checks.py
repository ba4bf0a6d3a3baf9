"""How far two answers are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def of_values(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference of two values, over the largest value of the answer where that exceeds 1."""
    if [f.shape for f in found] != [e.shape for e in expected]:
        return math.inf
    relative = [(f - e).abs().max() / e.abs().max().clamp(min=1) for f, e in zip(found, expected, strict=True)]
    return float(torch.stack(relative).nan_to_num(nan=math.inf, posinf=math.inf).max())
