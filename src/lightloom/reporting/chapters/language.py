"""Models of language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightloom.core.run_dir import read_json
from lightloom.data.language.continued import FILE, RULE
from lightloom.reporting.contract import Chapter, Section
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

SHOWN = 6  # epochs


class Language(Chapter):
    """What a language model wrote after each epoch."""

    place = 60
    tasks = ("language modelling",)
    pipeline = "text-generation"
    example = "prompt='ROMEO:' num_samples=4 temperature=0.8"
    hyperparameters = ("data.block_size",)

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("vocabulary", run.data.get("vocab_size")), ("block size", run.data.get("block_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Texts are int64 (B, T), places in a vocabulary of {run.data.get('vocab_size')}, with T at most "
            f"{run.data.get('block_size')}; logits are of the id after each."
        )

    def sections(self, run: Run, album: Album) -> list[Section]:
        found = few(read_json(run.folder / FILE, [], RULE))
        return [Section("continuations", "Texts", render("continuations.html.jinja", epochs=found))] if found else []


class MaskedLanguage(Chapter):
    """What fills in hidden words."""

    place = 61
    tasks = ("masked language modelling",)
    pipeline = "fill-mask"
    example = 'text="a <mask> film"'
    hyperparameters = ("data.max_length", "model.share")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("vocabulary", run.data.get("vocab_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Texts are int64 (B, T), places in a vocabulary of {run.data.get('vocab_size')}, 0 after the end of each; "
            f"{run.data.get('vocab_size')} is the mask."
        )


def few(epochs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first, the last, and some between, each farther from the last than the one after it."""
    places = {0, *(len(epochs) - 2**i for i in range(SHOWN - 1))}
    return [epochs[place] for place in sorted(places) if 0 <= place < len(epochs)]
