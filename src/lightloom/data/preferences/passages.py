"""Passages of a text: what comes first is a prompt, what follows it an answer without an end of its own."""

from __future__ import annotations

import math

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, Seed, checked
from lightloom.data.contract import SPLITS
from lightloom.data.images.layout import SplitName
from lightloom.data.language.files import Reader
from lightloom.data.preferences.answered import Answered, Part
from lightloom.ops.rng import mix

HELD_OUT = 0.1  # of a text without a part for validation: its end, as models of language have it
REMEDY = "shorter ones, or a longer text"


@part
class Passages:
    """prompt_length characters, and the answer_length after them, at so many places of each part of a text.

    Item i of a part is a function of (seed, part, i). Where the text has no such part it is of its last tenth.
    """

    @checked
    def __init__(
        self,
        texts: Reader,
        prompt_length: Count,
        answer_length: Count,
        train_size: Count,
        val_size: Count,
        test_size: Count,
        seed: Seed = 0,
    ) -> None:
        self.texts, self.prompt_length, self.answer_length, self.seed = texts, prompt_length, answer_length, seed
        self.sizes = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))

    def read(self, split: SplitName, answers: int) -> Part:
        if answers != 1:
            raise UserError("Passages of a text are no pairs, of which one is preferred; choose data=deed_preferences.")
        text, length = self._text(split), self.prompt_length + self.answer_length
        if len(text) < length:
            raise UserError(
                f"data.reader: prompt_length and answer_length are {length} characters, but the {split} text has "
                f"{len(text)}; set {REMEDY}."
            )
        number = SPLITS.index(split)
        places = [mix(self.seed, number, i) % (len(text) - length + 1) for i in range(self.sizes[split])]
        return Part([self._item(text[place : place + length]) for place in places])

    def _text(self, split: SplitName) -> str:
        own = self.texts.read(split)
        if own is not None and (split != "train" or self.texts.read("val") is not None):
            return own
        whole = self.texts.read("train") or ""
        end = len(whole) - math.ceil(HELD_OUT * len(whole))
        return whole[:end] if split == "train" else whole[end:]

    def _item(self, passage: str) -> Answered:
        return Answered(passage[: self.prompt_length], (passage[self.prompt_length :],))
