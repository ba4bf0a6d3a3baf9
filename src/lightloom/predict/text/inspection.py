"""What is in a set of texts, for a person to read: lengths, classes, what is unknown, and what is there twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytorch_lightning as pl
from omegaconf import DictConfig

from lightloom.core.errors import UserError
from lightloom.core.findings import Findings
from lightloom.core.text import first_of, line
from lightloom.data.text.datamodule import Encoded, TextDataModule
from lightloom.data.text.texts import Texts
from lightloom.data.tokens import UNKNOWN
from lightloom.predict import inspection

SHOWN = 3  # texts of a kind in a note


def accepts(datamodule: pl.LightningDataModule) -> bool:
    """Has it texts with classes?"""
    return isinstance(datamodule, TextDataModule)


def inspect(datamodule: TextDataModule, cfg: DictConfig) -> Findings:
    """Tables of lengths and classes, and notes on texts that are there more than once."""
    found = inspection.begin(datamodule, cfg)
    splits: dict[str, Texts] = {}
    for name in inspection.SPLITS:
        try:
            splits[name] = datamodule.split(name)
        except UserError as error:
            found.note(str(error))
    lengths = [(name, *_lengths(datamodule.encoded_split(name))) for name in splits]
    found.table("", ["texts", "shortest", "median", "longest", "cut", "unknown"], lengths, "ids of a text")
    classes = [(name, *_of_each(splits, number)) for number, name in enumerate(map(line, datamodule.classes or []))]
    found.table("class", list(splits), classes, "texts of each class")
    for note in notes(splits):
        found.note(note)
    return found


def _lengths(split: Encoded) -> tuple[str, ...]:
    lengths = split.lengths.sort().values
    unknown = sum(int((ids == UNKNOWN).sum()) for ids in split.ids) / max(1, int(lengths.sum()))
    middle = (lengths[0], lengths[len(lengths) // 2], lengths[-1])
    return f"{len(split):,}", *(str(int(n)) for n in middle), f"{split.cut:,}", f"{unknown:.1%}"


def _of_each(splits: Mapping[str, Texts], number: int) -> Iterator[str]:
    for split in splits.values():
        yield "unknown" if split.labels is None else f"{int((split.labels == number).sum()):,}"


def notes(splits: Mapping[str, Texts]) -> Iterator[str]:
    """Texts in several parts, by which a test sees what was learned, and those with several classes."""
    parts: dict[str, set[str]] = {}
    labels: dict[str, set[int]] = {}
    for name, split in splits.items():
        known = split.labels.tolist() if split.labels is not None else []
        for number, text in enumerate(split.texts):
            parts.setdefault(text, set()).add(name)
            labels.setdefault(text, set()).update(known[number : number + 1])
    for words, several in (("in more than one part", parts), ("of more than one class", labels)):
        if twice := [text for text, where in several.items() if len(where) > 1]:
            examples = first_of([repr(line(text[:60])) for text in twice], SHOWN)
            yield f"{len(twice):,} texts are {words}: {examples}."
