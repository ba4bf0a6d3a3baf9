"""How messages write sizes and long lists."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of Unicode: what has an effect, and no shape


def megabytes(size: float) -> str:
    """A size in bytes as text: 1,234.5 MB, of a million bytes each."""
    return f"{size / 1e6:,.1f} MB"


def first_of(names: Sequence[object], most: int) -> str:
    """The first `most` names, and how many there are beyond them: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def printable(value: object) -> str:
    """A value as text for a screen, a log or a page: control characters, and bytes that are no text, written out.

    Lines and tabs stay. So no name of a file can colour a terminal, or end a line in a log.
    """
    text = str(value)
    return text if text.isprintable() else "".join(_written_out(c) for c in text)


def line(value: object) -> str:
    """`printable`, in one line."""
    return printable(value).replace("\n", "\\n").replace("\t", "\\t")


def _written_out(char: str) -> str:
    return ascii(char)[1:-1] if unicodedata.category(char) in INVISIBLE and char not in "\n\t" else char


def file_name(value: object) -> str:
    """A text as the name of one file, which lies in the folder that it is put into: `a/../b` becomes `a-..-b`."""
    name = "".join("-" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in str(value)).strip()
    return (name.lstrip(".-") or "unnamed")[:150]


def in_a_metric(name: object) -> str:
    """A name, of a class for instance, in letters that every logger takes as part of a metric's."""
    return re.sub(r"[^\w-]+", "_", str(name))
