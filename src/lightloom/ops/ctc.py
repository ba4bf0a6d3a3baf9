"""Connectionist temporal classification (Graves, Fernandez, Gomez & Schmidhuber 2006): from columns to a text.

Codes of symbols count from 1; 0 is the blank in columns, and fills up shorter texts of a batch. A path, one code for
each column, becomes a text by merging equal neighbours and then leaving out blanks (the paper's B, section 3.1).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

BLANK = 0


@dataclass(frozen=True)
class Reading:
    """codes: of the symbols that were read. confidence: of each, in [0, 1]. places: of each, its middle as a share of
    the picture's width. probability: of the whole text.
    """

    codes: tuple[int, ...]
    confidence: tuple[float, ...]
    places: tuple[float, ...]
    probability: float


def columns_needed(codes: Tensor) -> Tensor:
    """The fewest columns that a path of each text has: its length and a blank between equal neighbours.

    codes: int64 (B, L). Returns int64 (B,).
    """
    repeats = (codes[:, 1:] == codes[:, :-1]) & (codes[:, 1:] != BLANK)
    return (codes != BLANK).sum(1) + repeats.sum(1)


def negative_log_likelihood(logits: Tensor, codes: Tensor) -> Tensor:
    """-ln of each text's probability, over all its paths, in nats; 0, with no gradient, where no path is long enough.

    logits: (B, T, K) of any float type, computed in single precision. codes: int64 (B, L). Returns float32 (B,).
    On CUDA the gradient is summed in no fixed order (torch's own kernel): two runs differ in their last bits.
    """
    with torch.autocast(logits.device.type, enabled=False):
        log_probs = logits.float().log_softmax(2).transpose(0, 1)
        columns = torch.full((len(codes),), logits.shape[1], dtype=torch.int64, device=codes.device)
        lengths = (codes != BLANK).sum(1)
        return ctc_loss(log_probs, codes, columns, lengths, BLANK, reduction="none", zero_infinity=True)


def collapsed(path: Tensor) -> list[tuple[int, int, int]]:
    """The symbols of a path, int64 (T,): code, first column and column after the last, of each."""
    runs, start = [], 0
    codes = path.tolist()
    for column in range(1, len(codes) + 1):
        if column == len(codes) or codes[column] != codes[start]:
            if codes[start] != BLANK:
                runs.append((codes[start], start, column))
            start = column
    return runs


def best_paths(logits: Tensor) -> list[Reading]:
    """The text of the most likely path of each item (section 3.2), logits (B, T, K).

    A symbol's confidence is the highest probability that it has in its columns.
    """
    probabilities = logits.detach().float().softmax(2).cpu()
    best, paths = probabilities.max(2)
    runs = [collapsed(path) for path in paths]
    whole = _probabilities(logits, [tuple(code for code, _, _ in one) for one in runs])
    found = []
    for number, one in enumerate(runs):
        confidence = [float(best[number, start:end].max()) for _, start, end in one]
        places = [(start + end) / 2 / logits.shape[1] for _, start, end in one]
        found.append(Reading(tuple(code for code, _, _ in one), tuple(confidence), tuple(places), whole[number]))
    return found


def beam_search(logits: Tensor, width: int) -> list[Reading]:
    """The most likely text of each item, of those among the `width` likeliest prefixes at each column.

    logits: (B, T, K). Prefix search of section 3.2 with a beam, as Hannun et al. 2014 (arXiv:1408.2873, algorithm 1).
    """
    log_probs = logits.detach().float().log_softmax(2).cpu()
    texts = [_search(one.tolist(), width) for one in log_probs]
    whole = _probabilities(logits, texts)
    found = []
    for one, codes, probability in zip(log_probs, texts, whole, strict=True):
        runs = aligned(one, codes)
        confidence = tuple(float(one[start:end, code].max().exp()) for code, start, end in runs)
        places = tuple((start + end) / 2 / len(one) for _, start, end in runs)
        found.append(Reading(codes, confidence, places, probability))
    return found


def _search(log_probs: list[list[float]], width: int) -> tuple[int, ...]:
    """Prefixes with the logarithm of the probability of their paths that end in a blank, and of those that do not."""
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for column in log_probs:
        new: defaultdict[tuple[int, ...], list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        for prefix, (blank, symbol) in beam.items():
            either, last = _add(blank, symbol), prefix[-1] if prefix else BLANK
            same = new[prefix]
            same[0] = _add(same[0], either + column[BLANK])
            if prefix:
                same[1] = _add(same[1], symbol + column[last])
            for code in range(1, len(column)):
                longer = new[(*prefix, code)]
                longer[1] = _add(longer[1], (blank if code == last else either) + column[code])
        likeliest = sorted(new.items(), key=lambda item: -_add(*item[1]))[:width]
        beam = {prefix: (blank, symbol) for prefix, (blank, symbol) in likeliest}
    return max(beam, key=lambda prefix: _add(*beam[prefix]))


def aligned(log_probs: Tensor, codes: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """The likeliest path of a text, as `collapsed` gives it; [] where no path is long enough. log_probs: (T, K)."""
    labels = torch.zeros(2 * len(codes) + 1, dtype=torch.int64)
    labels[1::2] = torch.tensor(codes, dtype=torch.int64)
    skips = torch.zeros(len(labels), dtype=torch.bool)
    skips[2:] = (labels[2:] != BLANK) & (labels[2:] != labels[:-2])
    emitted = log_probs[:, labels]
    score = torch.full((len(labels),), -math.inf)
    score[:2] = emitted[0, :2]
    steps = []
    for column in emitted[1:]:
        ways = torch.stack([score, _shifted(score, 1), _shifted(score, 2).masked_fill(~skips, -math.inf)])
        best, step = ways.max(0)
        score = best + column
        steps.append(step)
    end = len(labels) - 1
    if codes and score[end - 1] > score[end]:
        end -= 1
    if score[end] == -math.inf:
        return []
    states = [end]
    for step in reversed(steps):
        states.append(states[-1] - int(step[states[-1]]))
    states.reverse()
    symbols = [(state // 2, column) for column, state in enumerate(states) if state % 2]
    return [(code, *_span([column for place, column in symbols if place == i])) for i, code in enumerate(codes)]


def _span(columns: list[int]) -> tuple[int, int]:
    return columns[0], columns[-1] + 1


def _shifted(score: Tensor, by: int) -> Tensor:
    moved = torch.full_like(score, -math.inf)
    moved[by:] = score[: len(score) - by]
    return moved


def _probabilities(logits: Tensor, texts: list[tuple[int, ...]]) -> list[float]:
    """Of each text in its item of logits (B, T, K)."""
    return negative_log_likelihood(logits.detach().cpu(), padded(texts)).neg().exp().tolist()


def padded(texts: list[tuple[int, ...]]) -> Tensor:
    """Codes of several texts, int64 (B, L), with zeros behind the shorter ones; L is 1 at least."""
    codes = torch.zeros(len(texts), max([1, *map(len, texts)]), dtype=torch.int64)
    for row, text in zip(codes, texts, strict=True):
        row[: len(text)] = torch.tensor(text, dtype=torch.int64)
    return codes


def _add(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
