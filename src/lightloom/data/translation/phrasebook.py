"""A phrasebook of two languages, generated: nothing to download, and each sentence has exactly one translation.

The order of words differs: German puts the verb second where something else comes first (`Heute fand der Bär ...`),
and last after `dass`; articles and endings of adjectives hang on the gender, which no English word tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightloom.core.parts import part
from lightloom.core.ranges import Count, Seed
from lightloom.data.contract import SPLITS
from lightloom.data.images.layout import SplitName
from lightloom.data.translation.pairs import Pairs
from lightloom.ops.rng import mix

Word = tuple[str, str]
NAMES = ("Ada", "Bruno", "Clara", "Dario", "Edith", "Felix")
ANIMALS: tuple[Word, ...] = (
    ("bear", "der Bär"),
    ("fox", "der Fuchs"),
    ("wolf", "der Wolf"),
    ("mouse", "die Maus"),
    ("goose", "die Gans"),
)
ANIMALS += (("crow", "die Krähe"), ("horse", "das Pferd"), ("sheep", "das Schaf"), ("calf", "das Kalb"))
TEMPERS: tuple[Word, ...] = (
    ("old", "alte"),
    ("young", "junge"),
    ("brave", "tapfere"),
    ("clever", "kluge"),
    ("lazy", "faule"),
)
DEEDS: tuple[Word, ...] = (
    ("found", "fand"),
    ("lost", "verlor"),
    ("painted", "malte"),
    ("saw", "sah"),
    ("hid", "versteckte"),
)
THINGS: tuple[Word, ...] = (
    ("a bell", "eine Glocke"),
    ("a boot", "einen Stiefel"),
    ("a kite", "einen Drachen"),
    ("a lamp", "eine Lampe"),
)
THINGS += (("an egg", "ein Ei"), ("an apple", "einen Apfel"), ("a book", "ein Buch"), ("a key", "einen Schlüssel"))
PLACES: tuple[Word, ...] = (
    ("at the mill", "an der Mühle"),
    ("by the river", "am Fluss"),
    ("in the barn", "in der Scheune"),
)
PLACES += (("on the hill", "auf dem Hügel"), ("under the bridge", "unter der Brücke"))
DAYS: tuple[Word, ...] = (
    ("today", "heute"),
    ("yesterday", "gestern"),
    ("on Monday", "am Montag"),
    ("in spring", "im Frühling"),
)
SAYINGS: tuple[Word, ...] = (("says", "sagt"), ("thinks", "denkt"), ("knows", "weiß"))


@part
class Phrasebook:
    """So many English sentences for each part with their German; sentence i of a part is a function of (seed, part, i).

    A sentence of another part may be the same by chance: there are 207,000 of them.
    """

    def __init__(self, train_size: Count, val_size: Count, test_size: Count, seed: Seed = 0) -> None:
        self.sizes, self.seed = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True)), seed

    def read(self, split: SplitName) -> Pairs:
        pairs = [sentence(mix(self.seed, SPLITS.index(split), i)) for i in range(self.sizes[split])]
        return Pairs([english for english, _ in pairs], [german for _, german in pairs])


def sentence(key: int) -> Word:
    """English and German, drawn from the key."""
    form = FORMS[mix(key, 0) % len(FORMS)]
    sets: Sequence[Sequence[Word]] = (TEMPERS, ANIMALS, DEEDS, THINGS, PLACES)
    temper, animal, deed, thing, place = (words[mix(key, i) % len(words)] for i, words in enumerate(sets, 1))
    who = (f"the {temper[0]} {animal[0]}", animal[1].replace(" ", f" {temper[1]} "))
    return form(key, who, deed, thing, place)


def told(key: int, who: Word, deed: Word, thing: Word, place: Word) -> Word:
    """The animal first."""
    english = f"{who[0]} {deed[0]} {thing[0]} {place[0]}."
    german = f"{who[1]} {deed[1]} {place[1]} {thing[1]}."
    return capital(english), capital(german)


def dated(key: int, who: Word, deed: Word, thing: Word, place: Word) -> Word:
    """A day first, and then in German the verb."""
    day = DAYS[mix(key, 6) % len(DAYS)]
    english = f"{day[0]} {who[0]} {deed[0]} {thing[0]} {place[0]}."
    german = f"{day[1]} {deed[1]} {who[1]} {place[1]} {thing[1]}."
    return capital(english), capital(german)


def reported(key: int, who: Word, deed: Word, thing: Word, place: Word) -> Word:
    """What somebody says, in German with the verb at its end."""
    name, saying = NAMES[mix(key, 6) % len(NAMES)], SAYINGS[mix(key, 7) % len(SAYINGS)]
    english = f"{name} {saying[0]} that {who[0]} {deed[0]} {thing[0]} {place[0]}."
    german = f"{name} {saying[1]}, dass {who[1]} {place[1]} {thing[1]} {deed[1]}."
    return english, german


FORMS: tuple[Callable[[int, Word, Word, Word, Word], Word], ...] = (told, dated, reported)


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[0].upper() + text[1:]
