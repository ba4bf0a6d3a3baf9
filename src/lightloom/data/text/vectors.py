"""Vectors of words from a text file, as GloVe, fastText and word2vec have them: a word and its numbers on each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.limits import check_bytes


def read_vectors(path: Path, ids: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """The ids that have a vector, int64 (n,), and these, float (n, D). ids: of the words that are asked for.

    A first line of two numbers, how many and how long, is passed over; of a word that is there twice the first counts.
    Raises UserError where the file is no such one, or has none of the words.
    """
    if not path.is_file():
        raise UserError(f"data.vectors={path}: there is no such file; name a text file of vectors, such as GloVe's.")
    check_bytes(path)
    found: dict[int, list[float]] = {}
    for number, word, values in _lines(path):
        if (place := ids.get(word)) is not None and place not in found:
            found[place] = _numbers(values, path, number)
    if not found:
        raise UserError(f"data.vectors={path}: has none of the {len(ids):,} words of the vocabulary; use another file.")
    return torch.tensor(list(found)), torch.tensor(list(found.values()))


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Number, word and the rest of each line; all have as many numbers as the first, so a word may have spaces."""
    size = 0
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2:
                continue
            size = size or len(parts) - 1
            if size < 1 or len(parts) <= size:
                raise UserError(f"{path}: line {number} has no word and {size or 'its'} numbers; mend or replace it.")
            yield number, " ".join(parts[:-size]), parts[-size:]


def _numbers(values: list[str], path: Path, number: int) -> list[float]:
    try:
        found = list(map(float, values))
    except ValueError as error:
        raise UserError(f"{path}: line {number} has what is no number ({error}); mend or replace it.") from error
    if not all(abs(value) < 1e4 for value in found):
        raise UserError(f"{path}: line {number} has a number that is no part of a vector; mend or replace it.")
    return found
