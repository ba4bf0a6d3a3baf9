"""Toy reviews: sentences of a small grammar, to learn from without a download, in which the order of words counts.

`not dull` is praise, and of `dull but moving` what comes after `but` is meant: so words alone do not tell.
Sentence i of a split is a pure function of (seed, split, i).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lightloom.core.parts import part
from lightloom.core.ranges import Count, Natural, Seed, checked
from lightloom.data.images.layout import PARTS, SplitName
from lightloom.data.text.texts import Texts
from lightloom.ops.rng import mix, uniforms

CLASSES = ["negative", "positive"]
SUBJECTS = ("the film", "the plot", "the acting", "the ending", "this story", "the music", "the cast", "every scene")
PRAISE = ("moving", "funny", "clever", "charming", "gripping", "wonderful", "fresh", "honest", "warm", "brilliant")
BLAME = ("dull", "tedious", "clumsy", "shallow", "awful", "tired", "silly", "cold", "predictable", "messy")
DEGREES = ("", "very", "rather", "truly", "quite")
DENIALS = ("not", "never", "hardly")
DRAWS = 13  # numbers of a sentence


@part
class ReviewsToy:
    """A reader of sentences of one clause or two, each negative or positive with equal chances."""

    @checked
    def __init__(
        self, train_size: Count = 1000, val_size: Natural = 200, test_size: Natural = 200, seed: Seed = 0
    ) -> None:
        self.sizes = dict(zip(PARTS, (train_size, val_size, test_size), strict=True))
        self.classes, self.seed = list(CLASSES), seed

    def read(self, split: SplitName) -> Texts | None:
        count = self.sizes[split]
        if not count:
            return None
        keys = torch.tensor([mix(self.seed, PARTS.index(split), number) for number in range(count)])
        drawn = [sentence(iter(row)) for row in uniforms(keys, DRAWS).tolist()]
        labels = torch.tensor([label for _, label in drawn])
        return Texts([text for text, _ in drawn], labels, [f"{split}_{number}" for number in range(count)])


def sentence(draws: Iterator[float]) -> tuple[str, int]:
    """A sentence and its class, of DRAWS numbers in [0, 1)."""
    positive = next(draws) < 0.5
    form = next(draws)
    last = clause(positive, draws)
    if form < 0.4:
        return f"{last} .", int(positive)
    turns = form < 0.7
    first = clause(positive != turns, draws)
    return f"{first} {'but' if turns else 'and'} {last} .", int(positive)


def clause(positive: bool, draws: Iterator[float]) -> str:
    """`the plot is not very dull`, of five numbers."""
    subject, degree = one_of(SUBJECTS, next(draws)), one_of(DEGREES, next(draws))
    denial = one_of(DENIALS, next(draws)) if next(draws) < 0.4 else ""
    said = one_of(PRAISE if positive != bool(denial) else BLAME, next(draws))
    return " ".join(filter(None, (subject, "is", denial, degree, said)))


def one_of(words: tuple[str, ...], share: float) -> str:
    """The word at that share, in [0, 1), of the way."""
    return words[int(share * len(words))]
