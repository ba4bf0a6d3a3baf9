"""Captchas that are drawn by seed: nothing to download, and of every difficulty.

Picture i of a split is a pure function of (seed, split, i). A pair of a font and a text belongs to one split, whatever
the seed, so no split shares one with another.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, Natural, NotNegative, Seed, Share, checked
from lightloom.data.identity import Identity, named_bytes
from lightloom.data.images.readers import SplitName
from lightloom.data.text_images.alphabet import check_alphabet
from lightloom.data.text_images.drawing import FAMILIES, Style, draw
from lightloom.ops.rng import mix

SPLITS = ("train", "val", "test")
SHARES = {"train": range(8), "val": range(8, 9), "test": range(9, 10)}  # of ten parts of all pairs of font and text
TRIES = 400  # draws of a pair until one is the split's; with fewer pairs than that the split may have none
_PAIR = -5  # in place of a seed: the part of a pair
Family = Literal["dejavu", "stix", "computer_modern"]


@part
class Captchas:
    """A reader of grey pictures, `height` x `width`. alphabet: of the texts, with min_length to max_length letters.

    families: of fonts, as matplotlib brings them. noise: standard deviation of grey, a share of white. lines: curves
    across each text. warp: pixels of the waves that bend it. inverted: light on dark.
    """

    @checked
    def __init__(
        self,
        alphabet: str,
        min_length: Count,
        max_length: Annotated[int, Ge(1), Le(64)],
        height: Annotated[int, Ge(8), Le(1024)],
        width: Annotated[int, Ge(8), Le(4096)],
        train_size: Count = 20_000,
        val_size: Natural = 1000,
        test_size: Natural = 1000,
        families: Sequence[Family] = ("dejavu", "stix"),
        noise: Share = 0.06,
        lines: Annotated[int, Ge(0), Le(100)] = 1,
        warp: NotNegative = 2.0,
        inverted: bool = False,
        seed: Seed = 0,
    ) -> None:
        check_alphabet(alphabet)
        if min_length > max_length:
            raise UserError(f"data.min_length is {min_length}, more than data.max_length, {max_length}; swap them.")
        if not families:
            raise UserError(f"data.reader.families is empty; name some of {', '.join(FAMILIES)}.")
        self.alphabet, self.lengths, self.seed = alphabet, (min_length, max_length), seed
        self.sizes = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))
        self.fonts = [font for family in families for font in FAMILIES[family]]
        self.style = Style(height, width, noise, lines, warp, inverted)

    def read(self, split: SplitName) -> Drawn | None:
        count = self.sizes[split]
        return Drawn(self, split, [self._pair(split, i) for i in range(count)]) if count else None

    def _pair(self, split: SplitName, number: int) -> tuple[str, str]:
        """The font and the text of a picture: the first pair of its draws that is the split's."""
        key = mix(self.seed, SPLITS.index(split), number)
        low, high = self.lengths
        for attempt in range(TRIES):
            font, length, *letters = (mix(key, attempt, place) for place in range(2 + high))
            count = low + length % (high - low + 1)
            codes = [letter % len(self.alphabet) for letter in letters[:count]]
            name, text = self.fonts[font % len(self.fonts)], "".join(self.alphabet[code] for code in codes)
            if part_of_pair(name, text) in SHARES[split]:
                return name, text
        raise UserError(
            f"data.alphabet {self.alphabet} makes too few texts of {low} to {high} letters for three splits that share "
            f"none; set a longer data.alphabet or a larger data.max_length."
        )


def part_of_pair(font: str, text: str) -> int:
    """Which of ten parts a pair of font and text is in."""
    return mix(_PAIR, *font.encode(), 0, *text.encode()) % 10


class Drawn:
    """The pictures of a split, each drawn when it is first asked for and then kept. pairs: font and text of each."""

    labelled = True

    def __init__(self, reader: Captchas, split: str, pairs: Sequence[tuple[str, str]]) -> None:
        self.reader, self.split, self.pairs = reader, split, list(pairs)
        self.numbers = list(range(len(pairs)))
        self.drawn: dict[int, Tensor] = {}

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.pairs]

    @property
    def names(self) -> list[str]:
        return [f"{self.split}_{number}" for number in self.numbers]

    def identity(self) -> Identity:
        """The names, which with the configuration decide all."""
        return Identity("names of images", map(named_bytes, self.names))

    def pick(self, indices: Tensor) -> Drawn:
        """The pictures at these indices, int64 (N,)."""
        picked, chosen = copy.copy(self), indices.tolist()
        picked.pairs, picked.numbers = [self.pairs[i] for i in chosen], [self.numbers[i] for i in chosen]
        return picked

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 (1, height, width)."""
        number = self.numbers[index]
        if number not in self.drawn:
            font, text = self.pairs[index]
            key = mix(self.reader.seed, SPLITS.index(self.split), number, 1)
            self.drawn[number] = draw(text, font, key, self.reader.style, self.reader.lengths[1])
        return self.drawn[number]
