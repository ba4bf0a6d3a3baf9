"""What could not be predicted among what could: the rest is written, and these are named at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightloom.core.errors import UserError
from lightloom.core.text import line
from lightloom.predict.tables import Table

UNREADABLE = "unreadable.csv"
SHOWN = 10  # in the message; the file has all


class Faults:
    """Inputs with why they were left out, in a folder's unreadable.csv, which is there only where there are some."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / UNREADABLE
        self.found: list[tuple[str, str]] = []

    def add(self, name: str, reason: object) -> None:
        """Note one input that was left out."""
        self.found.append((name, line(reason)))

    @contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Leave the input out where the user's mistake is in it."""
        try:
            yield
        except UserError as error:
            self.add(name, error)

    def finish(self, count: int) -> None:
        """Write the file and raise UserError where any input was left out, of `count` that were written."""
        if not self.found:
            return
        with Table(self.path, ("file", "reason")) as table:
            table.add(self.found)
        more = [f"and {len(self.found) - SHOWN} more in {self.path}"] if len(self.found) > SHOWN else []
        raise UserError(
            f"{len(self.found)} of {count + len(self.found)} inputs were left out, as {self.path} says"
            f"{'; the others are written.' if count else '.'}",
            *(reason if name in reason else f"{name}: {reason}" for name, reason in self.found[:SHOWN]),
            *more,
        )
