"""What predict.py asks of texts alone; `config.rules` reads the annotations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """text_column: of a table, by its name, or by number from 0 where no row has names. encoding: of the files."""

    text_column: str | int
    encoding: str
