"""Which files the annotations of a data set may name: those that lie in its folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightloom.core.errors import UserError


def check_inside(paths: Iterable[Path], roots: Sequence[Path], source: Path | str, count: int | None = None) -> None:
    """Raise UserError where annotations in `source` name files outside of the folders `roots`.

    By their names, `..` taken into account: a link that somebody has put there may lead elsewhere. count: of all that
    are named, where these are some of them.
    """
    allowed = [straight(root) for root in roots]
    named = list(paths)
    outside = [path for path in named if not any(straight(path).is_relative_to(root) for root in allowed)]
    if outside:
        raise UserError(
            f"{source}: {len(outside)} of its {count or len(named)} images lie outside {roots[0]}, as {outside[0]}; "
            f"move them there, or set data.root to the folder that holds both"
        )


def leading_out(names: Iterable[str], folder: Path) -> list[Path]:
    """The places of names that were found nowhere; an absolute path only where it is there, for else it is that of
    another machine.
    """
    places = [(name, straight(folder / name)) for name in names]
    return [place for name, place in places if not Path(name).is_absolute() or place.exists()]


def straight(path: Path) -> Path:
    """The absolute path without `..`, by its name alone: links are not followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() follows links
