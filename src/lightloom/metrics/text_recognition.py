"""Measures of read texts, all of sums over texts, so that several processes measure what one does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.text import edit_distance

from lightloom.ops.ctc import BLANK


class ReadingErrors(Metric):
    """exact: the share of texts that are right in each symbol. cer: edits over true symbols (Levenshtein 1966),
    which may be above 1. length: the share of texts of another length than the true one. places: of each of
    `max_length` places, the share of texts, of those that reach it, with the right symbol there; NaN of one that none
    reaches.
    """

    exact: Tensor
    texts: Tensor
    edits: Tensor
    symbols: Tensor
    wrong_lengths: Tensor
    right: Tensor
    reached: Tensor

    def __init__(self, max_length: int) -> None:
        super().__init__()
        sizes = dict.fromkeys(("exact", "texts", "edits", "symbols", "wrong_lengths"), ())
        for name, size in {**sizes, "right": (max_length,), "reached": (max_length,)}.items():
            self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, found: Sequence[Sequence[int]], codes: Tensor) -> None:
        """found: codes of read texts. codes: of the true ones, int64 (B, L), zeros behind the shorter."""
        most = len(self.right)
        texts = [[code for code in row if code != BLANK] for row in codes.tolist()]
        self.edits += edit_distance(list(map(_text, found)), list(map(_text, texts)), reduction="sum").long()
        for read, true in zip(found, texts, strict=True):
            self.symbols += len(true)
            self.exact += list(read) == true
            self.texts += 1
            self.wrong_lengths += len(read) != len(true)
            for place, code in enumerate(true[:most]):
                self.reached[place] += 1
                self.right[place] += place < len(read) and read[place] == code

    def compute(self) -> dict[str, Tensor]:
        """Scalars () by name, and places (max_length,)."""
        texts = self.texts.clamp(min=1)
        return {
            "exact": self.exact / texts,
            "cer": self.edits / self.symbols.clamp(min=1),
            "length": self.wrong_lengths / texts,
            "places": self.right / self.reached,
        }


def _text(codes: Sequence[int]) -> str:
    """Any letters, one for each code: an error rate asks only which are equal."""
    return "".join(map(chr, codes))


class SymbolConfusion(Metric):
    """Counts int64 (num_symbols + 1, num_symbols + 1) of true symbols, rows, and read ones, by the fewest edits that
    make one text the other. Row 0 has symbols that are not there, column 0 those that were missed.
    """

    confusion: Tensor

    def __init__(self, num_symbols: int) -> None:
        super().__init__()
        self.add_state("confusion", torch.zeros(2 * (num_symbols + 1,), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, found: Sequence[Sequence[int]], codes: Tensor) -> None:
        """found: codes of read texts. codes: of the true ones, int64 (B, L), zeros behind the shorter."""
        pairs = [
            pair
            for read, row in zip(found, codes.tolist(), strict=True)
            for pair in matched([code for code in row if code != BLANK], read)
        ]
        if pairs:
            rows, columns = torch.tensor(pairs, device=self.confusion.device).T
            self.confusion.index_put_((rows, columns), torch.ones_like(rows), accumulate=True)

    def compute(self) -> Tensor:
        """The counts, (num_symbols + 1, num_symbols + 1)."""
        return self.confusion


def matched(true: Sequence[int], read: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of a true and a read code by the fewest edits (Wagner & Fischer 1974), BLANK where one has no other."""
    costs = [list(range(len(read) + 1))]
    for i, code in enumerate(true, 1):
        row = [i]
        for j, other in enumerate(read, 1):
            row.append(min(costs[-1][j - 1] + (code != other), costs[-1][j] + 1, row[-1] + 1))
        costs.append(row)
    pairs, i, j = [], len(true), len(read)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + (true[i - 1] != read[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((true[i], read[j]))
        elif i and costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
            pairs.append((true[i], BLANK))
        else:
            j -= 1
            pairs.append((BLANK, read[j]))
    return pairs[::-1]
