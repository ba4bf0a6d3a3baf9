"""Gather objects from all processes, and sum what a loss of all of them divides by."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")


def gather_objects(own: list[T]) -> list[T]:
    """Gather every process's list of plain data and CPU tensors into one, ordered by rank."""
    if not _are_several():
        return own
    parts: list[list[T]] = [[]] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return [one for part in parts for one in part]


def shared_sum(values: Tensor) -> Tensor:
    """The sum of every process's values (...), of that shape.

    A loss that is a function of such sums alone is the same in each process, and DDP's mean of its gradients is the
    gradient that one process with all the samples would have: a mean of the processes' own ratios is not.
    """
    return _SharedSum.apply(values) if _are_several() else values


def shared_mean(count: Tensor) -> Tensor:
    """The mean over all processes of a number of each, (), at least 1 in total: what a loss is divided by whose
    gradients DDP averages. float ().
    """
    total = count.float()
    if not _are_several():
        return total.clamp(min=1)
    dist.all_reduce(total)
    return total.clamp(min=1) / dist.get_world_size()


class _SharedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * dist.get_world_size()


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized()
