"""BLEU: how much of translations is in those of people, word by word (Papineni et al. 2002)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

ORDERS = 4
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
SIGNS = re.compile(r"([!-&(-+:-@/\[-`{-~])")  # all of ASCII's but ' , - .
AFTER_LETTER, BEFORE_LETTER = re.compile(r"([^0-9])([.,])"), re.compile(r"([.,])([^0-9])")
DASH = re.compile(r"([0-9])(-)")


def tokenized(text: str) -> list[str]:
    """The words and signs of a text as mteval-v13a divides it, which sacrebleu calls 13a (Post 2018): every sign is a
    word, but for apostrophes, hyphens within words, and points and commas between digits.
    """
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in ENTITIES:
        text = text.replace(entity, sign)
    text = SIGNS.sub(r" \1 ", f" {text} ")
    text = BEFORE_LETTER.sub(r" \1 \2", AFTER_LETTER.sub(r"\1 \2 ", text))
    return DASH.sub(r"\1 \2 ", text).split()


def counted(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    """How often each sequence of one to ORDERS words occurs."""
    return Counter(tuple(words[i : i + n]) for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1))


def matched(text: str, references: Sequence[str]) -> tuple[list[int], list[int], int, int]:
    """Of a translation: how many sequences of each order are in a reference, each as often as in the one that has it
    most; how many there are; its length, and that of the reference which is nearest to it, in words.
    """
    own, known = tokenized(text), [tokenized(reference) for reference in references]
    most: Counter[tuple[str, ...]] = Counter()
    for words in known:
        most |= counted(words)
    hits = [0] * ORDERS
    for sequence, count in (counted(own) & most).items():
        hits[len(sequence) - 1] += count
    totals = [max(len(own) - n, 0) for n in range(ORDERS)]
    nearest = min((len(words) for words in known), key=lambda length: (abs(length - len(own)), length))
    return hits, totals, len(own), nearest


class Bleu(Metric):
    """Of a corpus: counts of all its texts, and of all processes, are added before anything is divided.

    Of `compute`: bleu in [0, 100], the geometric mean of the precisions of ORDERS orders times brevity_penalty,
    exp(1 - r / c) where c words were written for r of the references, and 1 where they are more; precision_1 to
    precision_4 in [0, 100]. Without smoothing: it is 0 where an order has no hit.
    """

    full_state_update = False
    hits: Tensor
    totals: Tensor
    lengths: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, size in (("hits", ORDERS), ("totals", ORDERS), ("lengths", 2)):
            self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """references: of each text one or several."""
        for text, known in zip(texts, references, strict=True):
            hits, totals, *lengths = matched(text, known)
            for state, found in ((self.hits, hits), (self.totals, totals), (self.lengths, lengths)):
                state += torch.tensor(found, device=state.device)

    def compute(self) -> dict[str, Tensor]:
        """Scalars () by the names above."""
        shares = [hit / max(total, 1) for hit, total in zip(self.hits.tolist(), self.totals.tolist(), strict=True)]
        written, wanted = self.lengths.tolist()
        brevity = math.exp(min(1 - wanted / written, 0)) if written else 0.0
        bleu = brevity * math.prod(shares) ** (1 / ORDERS)
        found = {"bleu": 100 * bleu, "brevity_penalty": brevity}
        found |= {f"precision_{n}": 100 * share for n, share in enumerate(shares, 1)}
        return {name: torch.tensor(value, device=self.hits.device) for name, value in found.items()}
