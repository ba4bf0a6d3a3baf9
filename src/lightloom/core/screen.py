"""The console: tables and lines, in which foreign text is shown as it is, and is neither markup nor colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lightloom.core.redaction import redact
from lightloom.core.text import line, printable


def say(text: object, end: str = "\n") -> None:
    """Print a text of one line or several. end: what follows it; nothing where it is a part of a longer one."""
    print(printable(redact(str(text))), end=end, flush=True)


def show_table(columns: Sequence[object], rows: Iterable[Sequence[object]], title: object = "", left: int = 1) -> None:
    """Print a table below its title. left: how many columns are aligned to the left."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(value: object) -> Text:
        return Text(line(redact(str(value))))

    table = Table()
    for i, name in enumerate(columns):
        table.add_column(cell(name), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    parts: list[Any] = [Text(f"\n{line(redact(str(title)))}")] if title else []
    Console(markup=False, emoji=False, highlight=False).print(*parts, table)
