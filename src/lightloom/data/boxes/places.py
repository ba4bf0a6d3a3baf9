"""Which files the annotations of a data set may name: those that lie in its folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightloom.core.errors import UserError


def check_inside(paths: Iterable[Path], roots: Sequence[Path], source: Path) -> None:
    """Raise UserError where annotations in `source` name files outside of the folders `roots`.

    By their names, `..` taken into account: a link that somebody has put there may lead elsewhere.
    """
    allowed = [straight(root) for root in roots]
    named = list(paths)
    outside = [path for path in named if not any(straight(path).is_relative_to(root) for root in allowed)]
    if outside:
        raise UserError(
            f"{source}: {len(outside)} of its {len(named)} images lie outside {roots[0]}, as {outside[0]}; move them "
            f"there, or set data.root to the folder that holds both"
        )


def straight(path: Path) -> Path:
    """The absolute path without `..`, by its name alone: links are not followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows links
