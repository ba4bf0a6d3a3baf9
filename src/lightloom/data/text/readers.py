"""Texts on disk: folders of files, files of lines, tables."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from lightloom.core import cells
from lightloom.core.documents import check_line, read_text
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.text import first_of, line
from lightloom.data.images.layout import SplitName, folders, part_named
from lightloom.data.text.texts import Texts

ENDINGS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}  # of tables: what is between cells
INTEGER = re.compile(r"-?[0-9]{1,18}")
Found = tuple[str, str, str]  # a text, its class, and where it was found
Skip = Callable[[str, UserError], None]  # is told where what was left out stood, and why


@part
class TextFolder:
    """A file for each text in a folder for each class, `root`/<class>/*.txt, or so below train, val and test."""

    def __init__(self, root: str | Path, encoding: str = "utf-8") -> None:
        self.root, self.encoding = Path(root), encoding

    @cached_property
    def classes(self) -> list[str]:
        folder = parts_of(self.root).get("train", self.root)
        names = [path.name for path in folders(folder) if _files(path)]
        if not names:
            raise UserError(
                f"{folder}: no class folders with .txt files; expected {self.root}/<class>/*.txt or "
                f"{self.root}/train/<class>/*.txt. Set data.root, or choose data=text_lines or data=text_table."
            )
        return names

    def read(self, split: SplitName) -> Texts | None:
        """The texts of a part, a test part without classes too; None where there is none. UserError of strange ones."""
        folder = parts_of(self.root).get(split)
        if folder is None:
            return None
        inside = {path.name: _files(path) for path in folders(folder)}
        if not any(inside.values()) and split == "test":
            return collected(self._texts({"": _files(folder)}, folder), [""], labelled=False)
        found = {name: files for name, files in inside.items() if files}
        _check_known(folder, found, self.classes)
        loose = len(_files(folder, deep=False))
        note = (f"left out: .txt files beside the class folders, {loose:,}",) if loose else ()
        return collected(self._texts(found, folder), self.classes, notes=note)

    def _texts(self, found: Mapping[str, Sequence[Path]], folder: Path) -> Iterator[Found]:
        for name, files in found.items():
            for path in files:
                yield read(path, self.encoding), name, path.relative_to(folder).as_posix()


@part
class TextLines:
    """A file of lines for each class, a text in each line, `root`/<class>.txt, or so below train, val and test.

    files: class -> file below `root` (or its parts), where they are called otherwise. Without it and without .txt
    files, those of one name are taken, whose endings are the classes: `reviews.neg`, `reviews.pos`.
    """

    def __init__(self, root: str | Path, files: Mapping[str, str] | None = None, encoding: str = "utf-8") -> None:
        self.root, self.files, self.encoding = Path(root), files and dict(files), encoding

    @cached_property
    def classes(self) -> list[str]:
        return list(self._files(parts_of(self.root).get("train", self.root)))

    def read(self, split: SplitName) -> Texts | None:
        """The texts of a part, a test part without classes too; None where there is none. UserError of strange ones."""
        folder = parts_of(self.root).get(split)
        if folder is None:
            return None
        found = self._files(folder)
        _check_known(folder, found, self.classes)
        return collected(self._texts(found), self.classes)

    def _files(self, folder: Path) -> dict[str, Path]:
        found = {name: folder / file for name, file in (self.files or _by_class(folder)).items()}
        if lacking := [path for path in found.values() if not path.is_file()]:
            raise UserError(f"{lacking[0]}: there is no such file; set data.root to the folder that has it.")
        if not found:
            raise UserError(
                f"{folder}: no files of lines; expected {folder}/<class>.txt for each class, or data.reader.files="
                "{<class>: <file>}. Set data.root."
            )
        return found

    def _texts(self, found: Mapping[str, Path]) -> Iterator[Found]:
        for name, path in found.items():
            for number, text in enumerate(read(path, self.encoding).removesuffix("\n").split("\n"), 1):
                yield text, name, f"{path.name}:{number}"


@part
class TextTable:
    """A CSV or TSV file with a column of texts and one of labels, or one such file for train, val and test.

    root: the file, or the folder of train.csv and, where they exist, val.csv and test.csv. text, label: columns, by
    their names in the first row, or by number from 0 of a table without such a row; several of text are put together.
    quoted: do quotes hold a cell together? By default those of .csv do, and those of .tsv are letters.
    """

    def __init__(
        self,
        root: str | Path,
        text: str | int | Sequence[str | int] = "text",
        label: str | int = "label",
        quoted: bool | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self.root, self.label, self.quoted, self.encoding = Path(root), label, quoted, encoding
        self.text = [text] if isinstance(text, str | int) else list(text)

    @cached_property
    def files(self) -> dict[SplitName, Path]:
        """Of each split its table."""
        if self.root.is_file():
            return {"train": self.root}
        inside = sorted(path for path in self.root.glob("*") if path.suffix.lower() in ENDINGS)
        named: dict[SplitName, Path] = {}
        for path in inside:
            if name := part_named(path.stem):
                named.setdefault(name, path)
        if "train" not in named and len(inside) == 1:
            named = {"train": inside[0]}
        if "train" not in named:
            raise UserError(
                f"{self.root}: no table; expected train.csv (or .tsv) there and, if you have them, val.csv and "
                f"test.csv, or one file. Set data.root=<folder or file>."
            )
        return named

    @cached_property
    def classes(self) -> list[str]:
        labels = {label for _, label, _ in self._rows("train")}
        return sorted(labels, key=lambda label: (0, int(label), "") if INTEGER.fullmatch(label) else (1, 0, label))

    def read(self, split: SplitName) -> Texts | None:
        """The rows of a part; None where there is no table of it. UserError where one has an unknown label."""
        path = self.files.get(split)
        if path is None:
            return None
        table = Table.read(path, self.encoding, self._quoted(path), self._columns)
        labelled = split != "test" or table.has(self.label)
        found = list(table.texts(self.text, self.label if labelled else None))
        if labelled:
            _check_known(path, {label: () for _, label, _ in found}, self.classes)
        return collected(iter(found), self.classes if labelled else [""], labelled)

    @property
    def _columns(self) -> list[str | int]:
        return [*self.text, self.label]

    def _quoted(self, path: Path) -> bool:
        return ENDINGS[path.suffix.lower()] == "," if self.quoted is None else self.quoted

    def _rows(self, split: SplitName) -> Iterator[Found]:
        path = self.files[split]
        return Table.read(path, self.encoding, self._quoted(path), self._columns).texts(self.text, self.label)


@dataclass(frozen=True)
class Table:
    """names: of the columns, or their numbers. rows: with the number of each."""

    path: Path
    names: list[str | int]
    rows: list[tuple[int, list[str]]]
    remedy: str

    @classmethod
    def read(
        cls, path: Path, encoding: str, quoted: bool, columns: Sequence[str | int], escaped: bool = False
    ) -> Table:
        """A file whose first row has names, where one of the columns is asked for by name.

        escaped: bytes that are no text are for `texts` to find, in their rows.
        """
        content = read_text(path, encoding=encoding, escaped=True) if escaped else read(path, encoding)
        remedy = f"set data.reader.quoted={str(not quoted).lower()} if quotes are {'letters' if quoted else 'marks'}"
        try:
            every = list(cells.rows(io.StringIO(content), ENDINGS.get(path.suffix.lower(), ","), quoted))
        except ValueError as error:
            raise UserError(f"{path}: is no table ({error}); {remedy}.") from error
        rows = [(number, row) for number, row in enumerate(every, 1) if row]
        if not rows:
            raise UserError(f"{path}: is empty; expected a row for each text.")
        has_names = any(isinstance(column, str) for column in columns)
        names: list[str | int] = [*rows[0][1]] if has_names else [*range(len(rows[0][1]))]
        return cls(path, names, rows[1:] if has_names else rows, remedy)

    def has(self, column: str | int) -> bool:
        return column in self.names

    def texts(self, text: Sequence[str | int], label: str | int | None, skip: Skip | None = None) -> Iterator[Found]:
        """Each row's text, its label ("" where none is asked for) and its number.

        Of a row without them UserError, or it is told to `skip` and left out.
        """
        wanted = [*text, *([] if label is None else [label])]
        if lacking := [column for column in wanted if not self.has(column)]:
            raise UserError(
                f"{self.path}: has no column {lacking[0]!r}; it has {line(first_of(self.names, 8))}. Set "
                f"data.reader.text and data.reader.label."
            )
        *places, of_label = [self.names.index(column) for column in wanted] + ([-1] if label is None else [])
        for number, row in self.rows:
            name = f"{self.path.name}:{number}"
            try:
                self._check(number, row, None if label is None else of_label)
            except UserError as error:
                if skip is None:
                    raise
                skip(name, error)
                continue
            found = "" if label is None else row[of_label].strip()
            yield " ".join(row[place] for place in places), found, name

    def _check(self, number: int, row: Sequence[str], of_label: int | None) -> None:
        if len(row) != len(self.names):
            raise UserError(
                f"{self.path}: row {number} has {len(row)} cells, the first one {len(self.names)}; mend it, or "
                f"{self.remedy}."
            )
        if of_label is not None and not row[of_label].strip():
            raise UserError(f"{self.path}: row {number} has no label; give it one, or leave the row out.")
        check_line("".join(row), f"{self.path}: row {number}")


def read(path: Path, encoding: str) -> str:
    """A file's text; UserError where it is in another encoding, or no text."""
    text = read_text(path, encoding=encoding, remedy="save it as UTF-8, or set data.encoding, such as latin-1")
    if (place := text.find("\0")) >= 0:
        raise UserError(f"{path}: has a NUL byte in line {text.count(chr(10), 0, place) + 1}; it is no text.")
    return text


def collected(
    found: Iterator[Found], classes: Sequence[str], labelled: bool = True, notes: tuple[str, ...] = ()
) -> Texts:
    """Texts with their classes as a split; those that are empty are left out and counted."""
    numbers = {name: number for number, name in enumerate(classes)}
    every = [(" ".join(text.split()), label, name) for text, label, name in found]
    kept = [row for row in every if row[0]]
    if empty := len(every) - len(kept):
        notes = (*notes, f"left out: empty texts, {empty:,}")
    labels = torch.tensor([numbers[label] for _, label, _ in kept], dtype=torch.int64) if labelled else None
    return Texts([text for text, _, _ in kept], labels, [name for _, _, name in kept], notes)


def parts_of(root: Path) -> dict[SplitName, Path]:
    """The folder of each split; all of `root` is training where none is called so. UserError where there is none."""
    if not root.is_dir():
        raise UserError(f"data.root={root}: there is no such folder; set data.root to the folder that has the texts.")
    named: dict[SplitName, Path] = {}
    for folder in folders(root):
        if (name := part_named(folder.name)) and named.setdefault(name, folder) != folder:
            raise UserError(f"{root}: {named[name].name} and {folder.name} are both {name} data; rename one of them.")
    return named if "train" in named else {"train": root}


def _files(folder: Path, deep: bool = True) -> list[Path]:
    """The .txt files below a folder, or right in it, hidden ones left out."""
    found = folder.rglob("*.txt") if deep else folder.glob("*.txt")
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _by_class(folder: Path) -> dict[str, str]:
    """Class -> name of its file."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    texts = {path.stem: path.name for path in files if path.suffix.lower() == ".txt" and not _says_nothing(path)}
    stems = {path.stem for path in files if path.suffix and not _says_nothing(path)}
    if texts or len(stems) != 1:
        return texts
    return {path.suffix[1:]: path.name for path in files if path.suffix}


def _says_nothing(path: Path) -> bool:
    return re.match("readme|licen[cs]e|requirements", path.stem.lower()) is not None


def _check_known(where: Path, found: Mapping[str, object], classes: Sequence[str]) -> None:
    if strange := [name for name in found if name not in classes]:
        raise UserError(
            f"{where}: has {line(first_of(strange, 3))}, which is no class of the training texts "
            f"({line(first_of(classes, 5))}); rename it, or take it away."
        )
