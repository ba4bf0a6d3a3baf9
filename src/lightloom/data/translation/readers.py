"""Pairs of texts on disk: a file for each language, in which line i of one is a translation of line i of the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.text import first_of, line
from lightloom.data.images.layout import SplitName, part_named
from lightloom.data.text.readers import read
from lightloom.data.translation.pairs import Pairs


@part
class ParallelLines:
    """`root`/<name>.<language> for two languages, packed as .gz or not: `train.en` and `train.de`.

    source, target: the languages, as the files' names end. files: part -> name, where they are called otherwise than
    train, val and test. A folder with one name alone has training texts.
    """

    def __init__(
        self,
        root: str | Path,
        source: str,
        target: str,
        files: Mapping[str, str] | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self.root, self.source, self.target = Path(root), source, target
        self.files, self.encoding = dict(files or {}), encoding

    @cached_property
    def names(self) -> dict[str, str]:
        """Of each part the name of its files."""
        if self.files:
            return self.files
        names = sorted(name for name in self._names(self.source) if name in self._names(self.target))
        parts: dict[str, str] = {part_named(name) or "": name for name in reversed(names)}
        if "train" in parts:
            return parts
        if len(names) != 1:
            there = f"it has pairs called {line(first_of(names, 5))}" if names else "it has no such pair"
            raise UserError(
                f"{self.root}: expected train.{self.source} and train.{self.target}, or one pair of another name; "
                f"{there}. Set data.root, data.source and data.target to the endings, or data.reader.files="
                "{train: <name>}."
            )
        return {"train": names[0]}

    def read(self, split: SplitName) -> Pairs | None:
        if split not in self.names:
            return None
        files = [self._file(self.names[split], language) for language in (self.source, self.target)]
        sources, targets = (read(file, self.encoding).removesuffix("\n").split("\n") for file in files)
        if len(sources) != len(targets):
            raise UserError(
                f"{files[0]}: has {len(sources):,} lines, but {files[1].name} has {len(targets):,}; expected a "
                "translation in each line, an empty line where there is none."
            )
        return collected(sources, targets)

    def _file(self, name: str, language: str) -> Path:
        for path in (self.root / f"{name}.{language}", self.root / f"{name}.{language}.gz"):
            if path.is_file():
                return path
        raise UserError(f"{path.with_suffix('')}: there is no such file, nor one packed as .gz; set data.root.")

    def _names(self, language: str) -> list[str]:
        if not self.root.is_dir():
            raise UserError(f"data.root={self.root}: there is no such folder; set data.root to that with the texts.")
        endings = (f".{language}", f".{language}.gz")
        return [f.name.removesuffix(e) for f in self.root.iterdir() for e in endings if f.name.endswith(e)]


def collected(sources: list[str], targets: list[str]) -> Pairs:
    """Those of which neither is empty."""
    found = [(" ".join(s.split()), " ".join(t.split())) for s, t in zip(sources, targets, strict=True)]
    kept = [pair for pair in found if all(pair)]
    empty = len(found) - len(kept)
    notes = (f"left out: pairs with an empty text, {empty:,}",) if empty else ()
    return Pairs([source for source, _ in kept], [target for _, target in kept], notes)
