"""What a command has found out, for a console and for a page: tables, pictures in its folder, and lines of text."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lightloom.core.screen import say, show_table

log = logging.getLogger("lightloom")


@dataclass(frozen=True)
class Table:
    """columns: above the cells, the first over the names of the rows. left: how many of them are text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left: int = 1


@dataclass
class Findings:
    """title: of the page. pictures: (file in the command's folder, what it shows)."""

    title: str
    tables: list[Table] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(
        self, corner: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str, left: int = 1
    ) -> None:
        """Print a table that has rows, write it to the log and keep it."""
        if rows:
            show_table((corner, *columns), rows, title, left)
            self.tables.append(Table(title, (corner, *columns), rows, left))
        log.debug("%s: %s", title, [list(row) for row in rows])

    def note(self, text: str) -> None:
        """Print a line and keep it."""
        say(text)
        self.notes.append(text)

    def picture(self, file: str, shows: str) -> None:
        """Keep a picture that was written into the command's folder."""
        self.pictures.append((file, shows))
