"""The border of Markdown: a text that is shown as it is, wherever a template puts it."""

from __future__ import annotations

import re
from typing import Any

from lightloom.core.redaction import redact
from lightloom.core.text import line, printable

ANYWHERE = r"[\\`*|~]|\](?=[(\[:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
AT_THE_BEGINNING = r"^(?:[-+](?=[-\s]|$)|[=#]|\d+(?=[.)](?:\s|$)))"
ACTIVE = re.compile(f"{ANYWHERE}|{AT_THE_BEGINNING}")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


def escaped(value: Any) -> Markdown:
    """Any value as text within a line or a cell of a table."""
    if isinstance(value, Markdown):
        return value
    text = ACTIVE.sub(lambda found: _mark(found[0]), line(redact(str(value))))
    return Markdown(re.sub(r"[&<>]", lambda found: ENTITIES[found[0]], text))


def code(value: Any) -> Markdown:
    """Any value as code within a line or a cell of a table: between more backticks than it has itself."""
    text = line(redact(str(value))).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padding = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return Markdown(f"{fence}{padding}{text}{padding}{fence}")


def fenced(value: Any, language: str = "") -> Markdown:
    """Any value as a block of code."""
    text = printable(redact(str(value)))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markdown(f"{fence}{language}\n{text.rstrip()}\n{fence}")


def _mark(found: str) -> str:
    return f"{found}\\" if found.isdigit() else f"\\{found}"
