"""Translations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightloom.core import cells
from lightloom.core.errors import UserError
from lightloom.core.run_dir import read_json
from lightloom.data.translation.translated import ALIGNMENTS, FILE, RULE
from lightloom.reporting.contract import Chapter, Section
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

SHOWN = 25  # translations


class Translation(Chapter):
    """What a translator made of the test texts, and where it looked."""

    place = 62
    tasks = ("translation",)
    pipeline = "translation"
    example = 'text="A text."'
    hyperparameters = ("data.max_length", "model.label_smoothing", "model.beam_width", "model.length_penalty")
    links = (FILE,)

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        languages = f"{run.data.get('source')} to {run.data.get('target')}"
        return [("languages", languages), ("vocabulary", run.data.get("vocab_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Texts are int64 (B, S), places in a vocabulary of {run.data.get('vocab_size')} for both languages, 3 at "
            f"the end of each and 0 behind; so are translations, which begin with 2. The vocabulary is in the "
            f"checkpoint."
        )

    def sections(self, run: Run, album: Album) -> list[Section]:
        return [*self._translations(run), *self._alignments(run)]

    def _translations(self, run: Run) -> Iterator[Section]:
        try:
            with cells.open_csv(run.folder / FILE) as file:
                rows = [row for row in cells.dicts(file) if row.get("source")][:SHOWN]
        except (OSError, ValueError, UserError):
            return
        if rows:
            yield Section("translations", "Translations", render("translations.html.jinja", rows=rows))

    def _alignments(self, run: Run) -> Iterator[Section]:
        if found := read_json(run.folder / ALIGNMENTS, [], RULE):
            yield Section("alignments", "Attention", render("alignments.html.jinja", alignments=found))
