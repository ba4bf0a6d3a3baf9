"""What a folder holds: `data=auto data.root=folder` becomes the `data=` that reads it.

Each kind of data has a `recognition.py` with `matches(listing)`, which is all that a new layout adds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from lightloom.core.discovery import discover
from lightloom.core.errors import UserError
from lightloom.data.listing import Listing, list_folder

AUTO = "auto"


@dataclass(frozen=True)
class Match:
    """A layout that a folder has. choice: the `data=` that reads it; seen: in words, what speaks for it.

    by_folders: nothing but the names of its folders speaks for it, so that a layout with files of its own goes first.
    """

    choice: str
    seen: str
    by_folders: bool = False


class Recognition(Protocol):
    """The `recognition.py` of a kind of data."""

    def matches(self, listing: Listing) -> Iterable[Match]:
        """Each layout that the files have; of large files the beginning is enough."""


def recognise(root: Path) -> Match:
    """The one layout of a folder; UserError where there is none, or more than one."""
    listing = list_folder(root)
    found = layouts_of(listing)
    if not found:
        raise UserError(
            f"data=auto: nothing in {root} is known as data ({listing.said()}); see docs/your-data.md for what is, or "
            f"name the layout with data=<name>."
        )
    if len(found) > 1:
        said = " and ".join(f"{match.seen} (data={match.choice})" for match in found)
        raise UserError(f"data=auto: {root} has {said}; choose one with data=<name>.")
    return found[0]


def layouts_of(listing: Listing) -> list[Match]:
    """The layouts that the files have; those that have nothing but names of folders only where there is no other."""
    kinds = cast(list[Recognition], discover("lightloom.data", "*/recognition.py"))
    found = [match for kind in kinds for match in kind.matches(listing)]
    return [match for match in found if not match.by_folders] or found
