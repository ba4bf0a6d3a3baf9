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


def of_detections(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference between a detection and the nearest one in the other answer: of equals, order is chance.

    Boxes (N, 4) count in the largest coordinate, labels (N,) as they are, scores (N,) as they are, masks (N, H, W) as
    the share of pixels that differ.
    """
    if [f.shape for f in found] != [e.shape for e in expected]:
        return math.inf
    if not len(expected[0]):
        return 0.0
    scale = expected[0].abs().max().clamp(min=1)
    a, b = (torch.cat([x[0] / scale, x[1][:, None], x[2][:, None]], 1).double() for x in (found, expected))
    distances = torch.cdist(a, b, p=math.inf)
    if len(expected) == 4:
        a, b = (x[3].flatten(1).double() for x in (found, expected))
        distances = distances.maximum(torch.cdist(a, b, p=1) / a.shape[1])
    nearest = torch.stack([distances.amin(0).max(), distances.amin(1).max()])
    return float(nearest.nan_to_num(nan=math.inf, posinf=math.inf).max())
