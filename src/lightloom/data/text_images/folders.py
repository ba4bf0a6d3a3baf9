"""Folders of pictures whose texts stand in the files' names, or in a table beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from lightloom.core import cells
from lightloom.core.documents import read_text
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import checked
from lightloom.core.schema import shown
from lightloom.core.text import first_of
from lightloom.data.images.layout import folders, image_files, part_named
from lightloom.data.images.readers import SplitName
from lightloom.data.text_images.split import TextFiles

TABLES = ("labels.csv", "labels.tsv")  # found beside pictures
HEADERS = [[a, b] for a in ("file", "filename", "image", "path", "name") for b in ("text", "label", "labels")]
CASES: Mapping[str, Callable[[str], str]] = {"keep": str, "lower": str.lower, "upper": str.upper}


@part
class TextImageFolder:
    """Pictures below `root`, or below its train, val and test.

    Their texts are their names without the suffix, up to `separator` where one is given; or stand in a table, each row
    a file and its text: `labels.csv` or `labels.tsv` beside the pictures, or the file `labels` below `root`. case: that
    the texts are taken in, for captchas that ask for none.
    """

    @checked
    def __init__(
        self,
        root: str | Path,
        channels: int = 1,
        labels: str | None = None,
        separator: str | None = None,
        case: Literal["keep", "lower", "upper"] = "keep",
    ) -> None:
        if separator == "":
            raise UserError("data.reader.separator is empty; give the text that ends a label, such as _, or null.")
        self.root, self.channels, self.labels, self.separator = Path(root), channels, labels, separator
        self.case = CASES[case]

    def read(self, split: SplitName) -> TextFiles | None:
        if not self.root.is_dir():
            raise UserError(f"{self.root}: there is no such folder; set data.root to the one that has the pictures.")
        place = self._place(split)
        if place is None:
            return None
        paths = image_files(place)
        if not paths:
            raise UserError(f"{place}: no pictures there; set data.root to the folder that has them")
        return TextFiles(paths, [self.case(text) for text in self._texts(place, paths)], self.channels)

    def _place(self, split: SplitName) -> Path | None:
        """The folder of a part; where none is a part, all of the root is for training."""
        parts = {part_named(folder.name): folder for folder in folders(self.root) if part_named(folder.name)}
        if not parts:
            return self.root if split == "train" else None
        return parts.get(split)

    def _texts(self, place: Path, paths: Sequence[Path]) -> list[str]:
        table = self._table(place)
        if table is None:
            return [self._of_name(path) for path in paths]
        texts = {table.parent / name: text for name, text in rows(table)}
        lacking = [path for path in paths if path not in texts]
        if lacking:
            raise UserError(
                f"{table}: {len(lacking)} of {len(paths)} pictures have no row, as {lacking[0].name}; add a row with "
                f"the file and its text, or delete the picture"
            )
        return [texts[path] for path in paths]

    def _table(self, place: Path) -> Path | None:
        """The one that was named, or the one that lies beside the pictures."""
        if self.labels is None:
            return next((place / name for name in TABLES if (place / name).is_file()), None)
        path = self.root / self.labels
        if not path.is_file():
            raise UserError(f"data.reader.labels={self.labels}: {path} is not there; name a CSV or TSV below data.root")
        return path

    def _of_name(self, path: Path) -> str:
        text = path.stem if self.separator is None else path.stem.partition(self.separator)[0]
        if not text:
            raise UserError(f"{path}: its name has no text before {self.separator!r}; rename it")
        return text


def rows(path: Path) -> list[tuple[str, str]]:
    """(file, text) of each row of a CSV, or of a TSV by its suffix; a first row `file,text` is left out.

    Raises UserError for a row of another form, an empty text, or a file that is listed with two texts.
    """
    content = read_text(path)
    try:
        if path.suffix.lower() == ".tsv":
            found = [line.split("\t") for line in content.splitlines()]
        else:
            found = list(cells.rows(content.splitlines()))
    except ValueError as error:
        raise UserError(f"{path}: is no CSV ({error}); write a file and its text in each row") from error
    known: dict[str, str] = {}
    for number, row in enumerate(found, 1):
        if not row or row == [""] or (number == 1 and [cell.strip().lower() for cell in row[:2]] in HEADERS):
            continue
        name, text = (cell.strip() for cell in row) if len(row) == 2 else ("", "")
        if not (name and text):
            raise UserError(f"{path}, line {number}: expected a file and its text, and it is {shown(first_of(row, 3))}")
        if known.setdefault(name, text) != text:
            raise UserError(
                f"{path}, line {number}: {shown(name)} had the text {shown(known[name])} before; keep one row"
            )
    return list(known.items())
