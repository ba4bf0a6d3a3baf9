"""How messages write sizes and long lists."""

from __future__ import annotations

from collections.abc import Sequence


def megabytes(size: float) -> str:
    """A size in bytes as text: 1,234.5 MB, of a million bytes each."""
    return f"{size / 1e6:,.1f} MB"


def first_of(names: Sequence[object], most: int) -> str:
    """The first `most` names, and how many there are beyond them: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
