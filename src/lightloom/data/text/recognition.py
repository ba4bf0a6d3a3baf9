"""Which folders are texts with classes: `reviews/<class>/*.txt`, or tables with columns `text` and `label`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lightloom.data.auto import Match
from lightloom.data.images.layout import part_named
from lightloom.data.listing import Listing, parts_said
from lightloom.data.text.readers import ENDINGS

COLUMNS = {"text", "label"}
BEGINNING = 4096  # bytes of a table, in which its first row is


def matches(listing: Listing) -> Iterator[Match]:
    """Beside images, a text is something said of one."""
    if listing.images:
        return
    texts = listing.of(".txt")
    classes = {path.parent.name for path in texts if path.parent != listing.root and not part_named(path.parent.name)}
    if len(classes) > 1:
        seen = f"{len(texts):,} .txt files in folders of {len(classes)} classes"
        yield Match("text_folder", seen + parts_said(texts, listing.root), by_folders=True)
    tables = [path for path in listing.of(*ENDINGS) if path.parent == listing.root and has_columns(path)]
    if tables:
        yield Match("text_table", f"columns text and label in {tables[0].name}")


def has_columns(path: Path) -> bool:
    """Are text and label among the names in a table's first row?"""
    with path.open("rb") as file:
        first = file.read(BEGINNING).decode("utf-8-sig", "replace").splitlines()[:1]
    between = ENDINGS[path.suffix.lower()]
    return bool(first) and {name.strip('" ') for name in first[0].split(between)} >= COLUMNS
