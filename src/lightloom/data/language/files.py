"""A text in files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lightloom.core.documents import read_text
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.data.images.layout import SplitName, part_named


class Reader(Protocol):
    """Reads the text of a part; None where the data has no such part, and all of it is training."""

    def read(self, split: SplitName) -> str | None: ...


@part
class TextFiles:
    """A text file; or those of a folder, `root`/*.txt in the order of their names.

    Files of a folder that are called train.txt, val.txt and test.txt, or as people call these parts, are the parts.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def read(self, split: SplitName) -> str | None:
        files = self._files()
        parts = {part_named(path.stem): path for path in files}
        if parts.get("train") is not None:
            return read_text(parts[split]) if split in parts else None
        return "\n".join(map(read_text, files)) if split == "train" else None

    def _files(self) -> list[Path]:
        found = [self.root] if self.root.is_file() else sorted(path for path in self.root.glob("*.txt"))
        if not self.root.exists():
            raise UserError(f"data.root={self.root}: no such file or folder; name a text, or a folder with some.")
        if not found:
            raise UserError(
                f"{self.root}: no .txt files; put a text there, or set data.root=<a text file, or a folder with some>."
            )
        return found
