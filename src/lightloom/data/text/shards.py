"""Labelled texts in shards. They are read into memory whole, as those of files are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.data.images.layout import SplitName
from lightloom.data.shards.index import REMEDY, Sample
from lightloom.data.shards.reading import ShardReader
from lightloom.data.shards.writing import Packed
from lightloom.data.text.texts import Texts

KIND, CHOICE = "text", "shards_text"
TEXT, TOGETHER = "txt", 1000  # samples that are brought at a time


@part
class ShardedTexts(ShardReader):
    """Texts in shards, in UTF-8, each with its class. root: a folder or address."""

    kind = KIND

    def __init__(self, root: str) -> None:
        super().__init__(root, window=1)

    def read(self, split: SplitName) -> Texts | None:
        found = self.index.part(split, self.window)
        if found is None:
            return None
        read: list[Sample] = []
        for first in range(0, len(found), TOGETHER):
            places = range(len(found))[first : first + TOGETHER]
            found.fetch(places)
            read += [found[i] for i in places]
        return Texts([_text(sample) for sample in read], found.labels, [sample.name for sample in read])


def _text(sample: Sample) -> str:
    try:
        return sample.file(TEXT).read().decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{sample.name}: is no text in UTF-8; {REMEDY}.") from error


def facts(datamodule: Any) -> dict[str, Any]:
    """Nothing: the vocabulary is learnt of the texts anew."""
    return {}


def samples(split: Texts) -> Iterator[Packed]:
    """Each text of a split, with its class."""
    labels = [None] * len(split) if split.labels is None else split.labels.tolist()
    for text, label in zip(split.texts, labels, strict=True):
        yield {TEXT: text.encode(), **({} if label is None else {"cls": str(label).encode()})}, label
