"""Which of a model's classes `classes=` names."""

from __future__ import annotations

from collections.abc import Sequence

from lightloom.config.foreign import plain
from lightloom.core.errors import UserError, did_you_mean


def numbers_of(names: str | int | Sequence[str | int], classes: Sequence[str], who: str) -> list[int]:
    """The numbers, from 0, of the classes that are named; UserError for one that is not among `classes`.

    who: has these classes, for the message: `the detector`.
    """
    listed = [names] if isinstance(names, str | int) else list(plain(names))
    unknown = [str(name) for name in listed if str(name) not in classes]
    if unknown:
        raise UserError(
            f"classes={unknown[0]}: {who} has no such class.{did_you_mean(unknown[0], classes)} It knows "
            f"{', '.join(classes)}."
        )
    return [classes.index(str(name)) for name in listed]
