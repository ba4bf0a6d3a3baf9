"""Beam search against a greedy loop and against all texts there are; what it remembers is what it was given."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from lightloom.ops.beam_search import Hypothesis, beam_search, normalised
from lightloom.ops.rng import mix, mix_tensor, uniforms

END, VOCABULARY = 0, 4


class Language:
    """A distribution after each beginning of a text, of its own; it remembers what its rows were, as a cache does."""

    def __init__(self, first: Tensor) -> None:
        self.rows = [[i] for i in first.tolist()]

    def __call__(self, ids: Tensor, rows: Tensor) -> Tensor:
        known = [self.rows[row] for row in rows.tolist()]
        self.rows = ids.tolist()
        assert known == [row[:-1] or row for row in self.rows]
        return torch.stack([log_probs(row) for row in self.rows])


def log_probs(beginning: list[int]) -> Tensor:
    key = 0
    for i in beginning:
        key = mix(key, i)
    return (4 * uniforms(mix_tensor(key, torch.arange(1)), VOCABULARY)[0]).log_softmax(0)


def hypothesis(first: int, ids: tuple[int, ...], penalty: float) -> Hypothesis:
    total = sum(float(log_probs([first, *ids[:i]])[one]) for i, one in enumerate(ids))
    return Hypothesis(ids, total, normalised(total, len(ids), penalty))


def greedy(first: int, most: int) -> tuple[int, ...]:
    ids: list[int] = []
    while len(ids) < most and (not ids or ids[-1] != END):
        ids.append(int(log_probs([first, *ids]).argmax()))
    return tuple(ids)


def every_text(most: int) -> list[tuple[int, ...]]:
    """All that end within so many ids."""
    others = range(1, VOCABULARY)
    return [(*ids, END) for length in range(most) for ids in itertools.product(others, repeat=length)]


def searched(first: list[int], most: list[int], width: int, penalty: float) -> list[Hypothesis]:
    given = torch.tensor(first)
    return beam_search(Language(given), given, END, most, width, penalty)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_a_width_of_one_is_greedy(penalty):
    first, most = list(range(10, 40)), [1 + i % 7 for i in range(30)]
    found = searched(first, most, 1, penalty)
    assert [one.ids for one in found] == [greedy(*one) for one in zip(first, most, strict=True)]
    assert {one.ids[-1] == END for one in found} == {True, False}  # some have become too long


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_a_width_of_all_texts_finds_the_best_of_them(penalty):
    most = 4
    first = list(range(10, 18))
    found = searched(first, [most] * len(first), VOCABULARY**most, penalty)
    for one, start in zip(found, first, strict=True):
        best = max((hypothesis(start, ids, penalty) for ids in every_text(most)), key=lambda text: text.score)
        assert one.ids == best.ids
        assert one.log_probability == pytest.approx(best.log_probability, abs=1e-5)
        assert one.score == pytest.approx(best.score, abs=1e-5)


def test_a_text_is_found_alone_as_among_others():
    first, most = list(range(10, 26)), [1 + i % 6 for i in range(16)]
    together = searched(first, most, 3, 0.6)
    for one, *alone in zip(together, first, most, strict=True):
        assert searched([alone[0]], [alone[1]], 3, 0.6) == [one]


def test_the_longer_of_two_equally_likely_texts_is_better_with_a_penalty():
    assert normalised(-3.0, 7, 0) == normalised(-3.0, 1, 0) == -3
    assert normalised(-3.0, 7, 1) == pytest.approx(-1.5)
    assert normalised(-3.0, 1, 0.6) == -3 < normalised(-3.0, 2, 0.6)


def test_what_cannot_be_is_not_followed():
    """One text of probability 1, however many could be followed."""

    def step(ids: Tensor, rows: Tensor) -> Tensor:
        found = torch.full((len(ids), VOCABULARY), -math.inf)
        found[:, 2 if ids.shape[1] < 3 else END] = 0
        return found

    assert beam_search(step, torch.tensor([9, 9]), END, [5, 5], 8, 0.6) == [Hypothesis((2, 2, END), 0.0, 0.0)] * 2
