"""What goes wrong because of the user, and how it is said."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend. The message is one sentence or two: what, where, expected, remedy.

    An entry point prints the message, writes the traceback to the run's log and exits with code 2.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean a or b?` for the closest known words, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def raise_all(problems: Iterable[str]) -> None:
    """Raise one UserError that lists each distinct problem; nothing where there is none."""
    distinct = list(dict.fromkeys(problems))
    if distinct:
        raise UserError("\n".join(distinct))
