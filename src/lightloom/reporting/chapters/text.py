"""Classes of texts: the sentences that were most certainly wrong."""

from __future__ import annotations

from typing import Any

from lightloom.core import cells
from lightloom.core.errors import UserError
from lightloom.reporting.contract import Chapter, Section
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

FILE, SHOWN = "wrong_texts.csv", 25


class Texts(Chapter):
    """What classifiers of texts leave."""

    place = 45
    tasks = ("text classification",)
    pipeline = "text-classification"
    example = 'text="a text"'
    hyperparameters = ("data.max_length", "data.vocab_size")
    links = (FILE,)

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("classes", run.data.get("num_classes")), ("ids of the vocabulary", run.data.get("vocab_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            "Texts are ids of a vocabulary, int64 (B, T), 0 after the end of each; the vocabulary is in the checkpoint."
        )

    def sections(self, run: Run, album: Album) -> list[Section]:
        try:
            with cells.open_csv(run.folder / FILE) as file:
                rows = [row for row in cells.dicts(file) if row.get("text")][:SHOWN]
        except (OSError, ValueError, UserError):
            return []
        return [Section("texts", "Wrong texts", render("texts.html.jinja", rows=rows))] if rows else []
