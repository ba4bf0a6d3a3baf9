"""Temporal order: two signs far from each other in noise, whose order is the class (Hochreiter & Schmidhuber 1997,
experiment 6a). A recurrent network has to keep the first until the end; generated, nothing to download.
"""

from __future__ import annotations

import torch

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, Natural, Seed, checked
from lightloom.data.images.layout import PARTS, SplitName
from lightloom.data.text.texts import Texts
from lightloom.ops.rng import mix, uniforms

NOISE, SIGNS = "abcd", "xy"
FIRST, SECOND = (0.1, 0.2), (0.5, 0.6)  # shares of the length within which a sign stands, as in the paper
SHORTEST = 10


@part
class TemporalOrder:
    """A reader of texts of `length` letters, between B and E, of four classes: xx, xy, yx and yy.

    Text i of a split is a function of (seed, split, i).
    """

    @checked
    def __init__(
        self,
        length: Count = 30,
        train_size: Count = 4000,
        val_size: Natural = 500,
        test_size: Natural = 500,
        seed: Seed = 0,
    ) -> None:
        if length < SHORTEST:
            raise UserError(f"data.reader.length is {length}; expected {SHORTEST} letters at least, for two places.")
        self.length, self.seed = length, seed
        self.sizes = dict(zip(PARTS, (train_size, val_size, test_size), strict=True))
        self.classes = [first + second for first in SIGNS for second in SIGNS]

    def read(self, split: SplitName) -> Texts | None:
        count = self.sizes[split]
        if not count:
            return None
        keys = torch.tensor([mix(self.seed, PARTS.index(split), number) for number in range(count)])
        drawn = uniforms(keys, self.length + 3)
        labels = (drawn[:, 0] * len(self.classes)).long()
        letters = [[NOISE[int(share * len(NOISE))] for share in row] for row in drawn[:, 3:].tolist()]
        for row, label, shares in zip(letters, labels.tolist(), drawn[:, 1:3].tolist(), strict=True):
            for sign, (low, high), share in zip(self.classes[label], (FIRST, SECOND), shares, strict=True):
                row[int(self.length * (low + (high - low) * share))] = sign
        texts = [" ".join(["B", *row, "E"]) for row in letters]
        return Texts(texts, labels, [f"{split}_{number}" for number in range(count)])
