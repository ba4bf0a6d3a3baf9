"""Gather objects from all processes."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed as dist

T = TypeVar("T")


def gather_objects(own: list[T]) -> list[T]:
    """Gather every process's list of plain data and CPU tensors into one, ordered by rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return own
    parts: list[list[T]] = [[]] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return [one for part in parts for one in part]
