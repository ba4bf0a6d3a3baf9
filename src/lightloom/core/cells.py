"""The border of CSV files. A spreadsheet takes a cell that begins with = + - @ for a formula, and may run it: such a
text has an apostrophe before it, which `rows` takes away again. Numbers are numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from lightloom.core.limits import check_bytes

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
MARK = "'"


def open_csv(path: Path, mode: str = "r") -> TextIO:
    """A CSV file, to read or (`w`) to write; names of files in it keep their bytes, as the system has them.

    Raises UserError where one that is to be read is no plain file, or larger than may be read.
    """
    if mode == "r":
        check_bytes(path)
    return cast(TextIO, path.open(mode, newline="", encoding="utf-8", errors="surrogateescape"))


class Writer:
    """Rows of cells. exact: as they are, for a program that compares them."""

    def __init__(self, file: TextIO, exact: bool = False) -> None:
        self._writer, self._exact = csv.writer(file, lineterminator="\n"), exact
        self._quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, *rows: Sequence[Any]) -> None:
        """Write rows; numbers may be texts."""
        for row in rows:
            has_return = any(isinstance(value, str) and "\r" in value for value in row)  # which csv would leave bare
            (self._quoting if has_return else self._writer).writerow(row if self._exact else map(cell, row))


def cell(value: Any) -> Any:
    """A value as a cell that no spreadsheet runs."""
    return MARK + value if isinstance(value, str) and is_formula(value) else value


def is_formula(text: str) -> bool:
    """Would a spreadsheet run it, or would `rows` take its first character for the mark? A number is none."""
    return text.lstrip(MARK).startswith(FORMULA) and not is_number(text)


def rows(file: Iterable[str], delimiter: str = ",", quoted: bool = True) -> Iterator[list[str]]:
    """The rows as they were handed to `Writer`, all cells as texts. Raises ValueError where the file is no CSV.

    quoted: do quotes hold a cell together, or are they letters like others?
    """
    try:
        for row in csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE):
            yield [value[1:] if value.startswith(MARK) and is_formula(value[1:]) else value for value in row]
    except csv.Error as error:
        raise ValueError(str(error)) from error


def dicts(file: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows below the first one by its names; what a row lacks is empty."""
    read = rows(file)
    names = next(read, [])
    for row in read:
        if row:
            yield dict(zip(names, [*row, *[""] * len(names)], strict=False))


def table(names: Sequence[str], found: Iterable[dict[str, Any]]) -> list[list[Any]]:
    """Rows below a row of names, empty where one lacks a name."""
    return [list(names), *([row.get(name, "") for name in names] for row in found)]


def is_number(text: str) -> bool:
    """Does a spreadsheet take it for a number, so that a sign in front begins no formula?"""
    try:
        float(text)
    except ValueError:
        return False
    return True
