"""Beam search: the likeliest texts that a model writes, an id at a time, of those that it follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Hypothesis:
    """ids: after the first one, with the one that ends them where there is one. log_probability: of them, in nats.

    score: by which the best is chosen.
    """

    ids: tuple[int, ...]
    log_probability: float
    score: float


def normalised(log_probability: float, length: int, penalty: float) -> float:
    """ln p over ((5 + length) / 6)^penalty (Wu et al. 2016, eq. 14): with a penalty of 0 short texts win."""
    return float(log_probability / ((5 + length) / 6) ** penalty)


@torch.inference_mode()
def beam_search(
    step: Step, first: Tensor, end: int, most: Sequence[int], width: int = 1, penalty: float = 0.0
) -> list[Hypothesis]:
    """The best text of each row of `first`, int64 (B,), its first id.

    step: of the ids so far, int64 (N, t), and the row that each of them continues, int64 (N,), log-probabilities (N, V)
    of the next id. Rows count those that the step was given before; at the start each row of `first` once.
    end: the id that ends a text. most: ids of each text at most, after the first.

    Of all continuations of what is followed the `width` likeliest are looked at: those that end are candidates, and as
    many others are followed. A text is found when it has `width` candidates, or has become too long: then what is
    followed are candidates where there are no others. A width of 1 takes the likeliest id at each step. No text depends
    on the others of a batch, but for rounding.
    """
    found: list[list[Hypothesis]] = [[] for _ in first]
    texts, ids = list(range(len(first))), first[:, None, None]  # those not found yet, and what is followed: (n, W, t)
    totals, rows = ids[..., 0].double() * 0, torch.arange(len(first), device=first.device)
    while texts:
        length, beams = ids.shape[2], ids.shape[1]
        log_probs = step(ids.flatten(0, 1), rows).double().view(len(texts), beams, -1)
        vocabulary = log_probs.shape[2]
        every = (totals[:, :, None] + log_probs).flatten(1)
        values, places = every.topk(min(2 * width, every.shape[1]), 1)
        parents, chosen = places // vocabulary, places % vocabulary
        followed: list[list[int]] = []
        for i, (text, ln_p, nexts) in enumerate(zip(texts, values.tolist(), chosen.tolist(), strict=True)):
            ended, others = _told_apart(ln_p, nexts, end, width)
            is_last = length >= most[text]
            for k in others if is_last and not ended and not found[text] else ended:
                before = ids[i, parents[i, k], 1:].tolist()
                found[text].append(Hypothesis((*before, nexts[k]), ln_p[k], normalised(ln_p[k], length, penalty)))
            followed.append([] if is_last or len(found[text]) >= width else others)
        going = [i for i, others in enumerate(followed) if others]
        kept, alive = _even([followed[i] for i in going], ids.device)
        at = torch.tensor(going, device=ids.device)[:, None]
        texts = [texts[i] for i in going]
        if texts:
            totals = values[at, kept].masked_fill(~alive, -math.inf)
            rows = (at * beams + parents[at, kept]).flatten()
            ids = torch.cat([ids[at, parents[at, kept]], chosen[at, kept][..., None]], 2)
    return [max(several, key=lambda one: one.score) for several in found]


def _told_apart(ln_p: Sequence[float], nexts: Sequence[int], end: int, width: int) -> tuple[list[int], list[int]]:
    """Places of the continuations of a text that end it, among the `width` likeliest, and of as many likeliest others.

    ln_p, nexts: of the continuations, the likeliest first, their log-probabilities and last ids. One of -inf is none.
    """
    there = [k for k, value in enumerate(ln_p) if value > -math.inf]
    return [k for k in there if nexts[k] == end and k < width], [k for k in there if nexts[k] != end][:width]


def _even(lists: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Lists of places as rows of equal length (n, W), the first repeated in shorter ones, and which are no such."""
    longest = max(map(len, lists), default=0)
    rows = [[*places, *[places[0]] * (longest - len(places))] for places in lists]
    alive = [[k < len(places) for k in range(longest)] for places in lists]
    return torch.tensor(rows, device=device), torch.tensor(alive, device=device)
