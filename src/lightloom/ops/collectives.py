"""What the processes of a run tell each other."""

from __future__ import annotations

from typing import Any

from torch import distributed as dist


def gather_objects(own: list[Any]) -> list[Any]:
    """The items of all processes, by rank; each gives a list of plain data and tensors on the CPU."""
    if not (dist.is_available() and dist.is_initialized()):
        return own
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return [one for part in parts for one in part]
