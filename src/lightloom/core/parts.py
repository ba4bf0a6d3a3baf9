"""What a file may name: `@part` on a class or function says that a checkpoint's configuration may have it built.

Networks, modules, optimizers, callbacks and datamodules need none: they are known by their base class (`engine.trust`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made", bound=Callable[..., Any])
PARTS: set[Callable[..., Any]] = set()


def part(made: Made) -> Made:
    """Mark a class, with those derived from it, or a function. What it takes must be no address and no module's name,
    and a path only where it reads plain data there; tests/engine/test_trust.py asks each for it.
    """
    PARTS.add(made)
    return made
