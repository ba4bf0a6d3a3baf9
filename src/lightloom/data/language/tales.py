"""Tales of animals, generated: nothing to download, and how well they can be predicted is known.

A grammar draws each choice evenly and no two derivations give the same tale, so the entropy of a tale is the sum of the
logarithms of its choices (Shannon 1951, Prediction and Entropy of Printed English, section 2). The name in the last
sentence and the pronouns follow from the first one: whoever cannot look back must guess them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from lightloom.core.parts import part
from lightloom.core.ranges import Count, Seed
from lightloom.data.contract import SPLITS
from lightloom.data.images.layout import SplitName
from lightloom.ops.rng import mix

NAMES = {"Ada": "She", "Bruno": "He", "Clara": "She", "Dario": "He", "Edith": "She", "Felix": "He"}
ANIMALS = ("bear", "crow", "fox", "goose", "hare", "mole", "otter", "wolf")
TEMPERS = ("brave", "clever", "grumpy", "lazy", "merry", "shy")
DEEDS = ("carried", "found", "hid", "lost", "painted", "washed")
THINGS = ("a bell", "a boot", "a kite", "a lamp", "a spoon", "an apple", "an egg", "an oar")
PLACES = ("at the mill", "by the river", "in the barn", "on the hill", "under the bridge")
ENDS = ("fell asleep", "went home", "laughed", "was content")
MOST = 3  # deeds of a tale, which has one at least


@part
class Tales:
    """So many tales for each part, a line each; tale i of a part is a function of (seed, part, i)."""

    def __init__(self, train_size: Count, val_size: Count, test_size: Count, seed: Seed = 0) -> None:
        self.sizes, self.seed = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True)), seed

    def read(self, split: SplitName) -> str:
        keys = (mix(self.seed, SPLITS.index(split), i) for i in range(self.sizes[split]))
        return "".join(map(tale, keys))

    @property
    def note(self) -> str:
        """What no model can do better than."""
        return f"no model can be below {entropy() / mean_length():.4f} nats per character"


def tale(key: int) -> str:
    """One line, drawn from the key."""
    choices = drawn_from(key)
    first, name = opening(choices)
    deeds = [deed(name, choices) for _ in range(next(choices) % MOST + 1)]
    return " ".join([first, *deeds, f"Then {name} {_one_of(ENDS, choices)}.\n"])


def opening(choices: Iterator[int]) -> tuple[str, str]:
    """The first sentence of a tale, and the name in it."""
    name = _one_of(list(NAMES), choices)
    return f"The {_one_of(TEMPERS, choices)} {_one_of(ANIMALS, choices)} was called {name}.", name


def deed(name: str, choices: Iterator[int]) -> str:
    """A sentence of what whoever has this name did, one of `deeds`."""
    done, thing, place = (_one_of(words, choices) for words in (DEEDS, THINGS, PLACES))
    return f"{NAMES[name]} {done} {thing} {place}."


def deeds(name: str) -> list[str]:
    """All that `deed` may say, each as likely as any other."""
    return [f"{NAMES[name]} {' '.join(words)}." for words in product(DEEDS, THINGS, PLACES)]


def entropy() -> float:
    """Of a tale, in nats."""
    once, each = (NAMES, TEMPERS, ANIMALS, range(MOST), ENDS), (DEEDS, THINGS, PLACES)
    return _nats(once) + (MOST + 1) / 2 * _nats(each)


def mean_length() -> float:
    """Of a tale, in characters."""
    names = _mean(NAMES)
    opening = len("The   was called .") + _mean(TEMPERS) + _mean(ANIMALS) + names
    deed = len("    .") + _mean(list(NAMES.values())) + _mean(DEEDS) + _mean(THINGS) + _mean(PLACES)
    return opening + (MOST + 1) / 2 * deed + len(" Then  .\n") + names + _mean(ENDS)


def drawn_from(key: int) -> Iterator[int]:
    """The choices that a key stands for, without end."""
    place = 0
    while True:
        yield mix(key, place) >> 8
        place += 1


def _one_of(words: Sequence[str], choices: Iterator[int]) -> str:
    return words[next(choices) % len(words)]


def _nats(sets: Sequence[Sequence[str] | dict[str, str] | range]) -> float:
    return sum(math.log(len(words)) for words in sets)


def _mean(words: Sequence[str] | dict[str, str]) -> float:
    return sum(map(len, words)) / len(words)
