"""A CSV file beside images: a row for each, with the labels that it has or with numbers."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from lightloom.core import cells
from lightloom.core.documents import read_text
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.text import first_of
from lightloom.data.images.readers import PARTS, Split, SplitName

NAMES_OF_PARTS = ("split", "part", "set", "subset")  # of the column that says which part an image belongs to
PART = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
FOLDERS = ("", "images", "train", "img")  # in which the images that a table names are looked for
YES, NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no", ""}


class Table(ABC):
    """A row for each image: its file, and what is to be learnt of it.

    table: the CSV below `root`; None for the only one there. files: the column with the images' files, relative to
    `root` or to its images/; None for the first. columns: those that are learnt; None for all others. Where a column is
    called `split`, it says train, val or test of each row; else all are for training. A file without a suffix is found
    by its stem.
    """

    wanted: ClassVar[str]  # what a row has, in words

    def __init__(
        self,
        root: str | Path,
        table: str | None = None,
        files: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.root, self.table, self.files = Path(root), table, files
        self.columns = list(columns) if columns else None
        self._stems: dict[str, dict[str, Path]] = {}

    @property
    @abstractmethod
    def classes(self) -> list[str]:
        """The names of what is learnt, in the order of the targets."""

    @abstractmethod
    def target(self, row: dict[str, str], place: str) -> list[float]:
        """What a row says, a number for each name. place: file and row, for a message."""

    def read(self, split: SplitName) -> Split | None:
        """The images of a part with their targets, float (N, names); None where the table has none."""
        rows = [(place, row) for place, row in self._rows if self._part(row, place) == split]
        if not rows:
            return None
        targets = torch.tensor([self.target(row, place) for place, row in rows])
        return Split(paths=[self._found(row[self._file], place) for place, row in rows], labels=targets)

    @cached_property
    def path(self) -> Path:
        """Of the table."""
        if self.table is not None:
            if not (path := self.root / self.table).is_file():
                raise UserError(f"{path}: there is no such file; set data.reader.table to the CSV below data.root.")
            return path
        if not self.root.is_dir():
            raise UserError(f"{self.root}: there is no such folder; set data.root to one with images and a CSV.")
        found = sorted(self.root.glob("*.csv"))
        if len(found) != 1:
            seen = f"has {len(found)} ({first_of([p.name for p in found], 3)})" if found else "has none"
            raise UserError(f"{self.root}: expected one CSV with a row for each image, and it {seen}; set "
                            f"data.root, or data.reader.table=<its name>.")  # fmt: skip
        return found[0]

    @cached_property
    def _rows(self) -> list[tuple[str, dict[str, str]]]:
        """(file and row, for a message; the row) of each image."""
        try:
            rows = list(cells.dicts(read_text(self.path).splitlines()))
        except ValueError as error:
            raise UserError(f"{self.path}: is no CSV ({error}); write it again.") from error
        if not rows or len(rows[0]) < 2:
            raise UserError(f"{self.path}: expected a first line with names (file,{self.wanted}) and a row per image.")
        for name in [*(self.columns or []), *([self.files] if self.files else [])]:
            if name not in rows[0]:
                raise UserError(f"{self.path}: has no column {name!r}; it has {first_of(list(rows[0]), 5)}.")
        numbered = [(f"{self.path}, row {number}", row) for number, row in enumerate(rows, 2)]
        seen: dict[str, str] = {}
        for place, row in numbered:
            name = row[self.files or next(iter(row))]
            if name in seen:
                raise UserError(f"{place}: {name} has a row already ({seen[name].rpartition(', ')[2]}); keep one.")
            seen[name] = place
        return numbered

    @property
    def _file(self) -> str:
        return self.files or next(iter(self._rows[0][1]))

    @cached_property
    def _learnt(self) -> list[str]:
        """The columns that are learnt."""
        names = list(self._rows[0][1])
        others = [n for n in names if n != self._file and n.lower() not in NAMES_OF_PARTS]
        if not (learnt := self.columns or others):
            raise UserError(f"{self.path}: has no column but {self._file!r}; add {self.wanted}.")
        return learnt

    def _part(self, row: dict[str, str], place: str) -> str:
        said = next((row[name].strip().lower() for name in row if name.lower() in NAMES_OF_PARTS), "train")
        if (name := PART.get(said, said)) not in PARTS:
            raise UserError(f"{place}: the part is {said!r}; expected train, val or test.")
        return name

    def _found(self, name: str, place: str) -> Path:
        for folder in FOLDERS:
            if (path := self.root / folder / name).is_file():
                return path
            if not Path(name).suffix and (beside := self._by_stem(folder).get(name)):
                return beside
        raise UserError(f"{place}: names {name!r}, and there is no such image in {self.root} or its images/.")

    def _by_stem(self, folder: str) -> dict[str, Path]:
        if folder not in self._stems:
            files = sorted((self.root / folder).glob("*")) if (self.root / folder).is_dir() else []
            self._stems[folder] = {path.stem: path for path in files if path != self.path}
        return self._stems[folder]


@part
class TagTable(Table):
    """Labels of which an image has any number: one column lists them, or each has a column of 0 and 1.

    Lists are separated by | or ; or , and else by spaces; an empty cell is no label.
    """

    wanted = "labels"

    @cached_property
    def classes(self) -> list[str]:
        if len(self._learnt) > 1:
            return self._learnt
        return sorted({tag for _, row in self._rows for tag in self._tags(row)})

    def target(self, row: dict[str, str], place: str) -> list[float]:
        if len(self._learnt) == 1:
            tags = set(self._tags(row))
            return [float(name in tags) for name in self.classes]
        return [self._flag(row[name], name, place) for name in self._learnt]

    def _tags(self, row: dict[str, str]) -> Iterator[str]:
        return (tag for part in re.split(self._separator, row[self._learnt[0]]) if (tag := part.strip()))

    @cached_property
    def _separator(self) -> str:
        text = "".join(row[self._learnt[0]] for _, row in self._rows)
        return r"[|;,]" if re.search(r"[|;,]", text) else r"\s+"

    @staticmethod
    def _flag(cell: str, name: str, place: str) -> float:
        said = cell.strip().lower()
        if said not in YES | NO:
            raise UserError(f"{place}: {name} is {cell!r}; expected 0 or 1 in each column, or one column of labels.")
        return float(said in YES)


@part
class ValueTable(Table):
    """Numbers, one or several for each image: all columns that are learnt."""

    wanted = "a number"

    @property
    def classes(self) -> list[str]:
        return self._learnt

    def target(self, row: dict[str, str], place: str) -> list[float]:
        return [self._number(row[name], name, place) for name in self._learnt]

    @staticmethod
    def _number(cell: str, name: str, place: str) -> float:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UserError(f"{place}: {name} is {cell!r}; expected a number. Leave the row out where none is known.")
        return value


def spread(targets: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column of targets (N, K); a column that never changes has the deviation 1."""
    std = targets.double().std(0, unbiased=False)
    return targets.double().mean(0).tolist(), torch.where(std > 0, std, 1.0).tolist()
