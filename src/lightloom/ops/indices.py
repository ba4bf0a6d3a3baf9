"""Choose evenly spaced items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the indices below `count`, evenly spaced; the first and the last are among them."""
    return torch.linspace(0, count - 1, min(count, most)).round().long().tolist()


def share(batch: Tensor, wanted: int, batches: Sequence[int | float]) -> Tensor:
    """A batch's share of `wanted` items, (B, ...) -> (b, ...), taken evenly from all batches.

    A folder's first files are all of one class.
    batches: their number in each loader.
    """
    return batch[evenly(len(batch), -int(-wanted // sum(batches)))]
