"""CTC against its definition: the sum, and the largest of the sums, over all paths of a toy."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from lightloom.ops.ctc import (
    aligned,
    beam_search,
    best_paths,
    collapsed,
    columns_needed,
    negative_log_likelihood,
    padded,
)

COLUMNS, SYMBOLS = 5, 3


def logits_of(seed: int, count: int = 1, columns: int = COLUMNS) -> Tensor:
    return 2 * torch.randn(count, columns, SYMBOLS + 1, generator=torch.Generator().manual_seed(seed))


def of_definition(logits: Tensor) -> dict[tuple[int, ...], float]:
    """Each text's probability: all (K + 1)^T paths, merged and without blanks (Graves et al. 2006, equation 3)."""
    probabilities = logits.double().softmax(1).tolist()
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        text = tuple(code for code, _ in itertools.groupby(path) if code)
        found[text] = found.get(text, 0.0) + math.prod(probabilities[t][k] for t, k in enumerate(path))
    return found


def test_the_loss_is_the_sum_over_all_paths():
    logits = logits_of(0)
    found = of_definition(logits[0])
    assert sum(found.values()) == pytest.approx(1)
    texts = list(found)
    losses = negative_log_likelihood(logits.expand(len(texts), -1, -1), padded(texts))
    torch.testing.assert_close(losses, torch.tensor([-math.log(found[text]) for text in texts]))


def test_the_gradient_is_that_of_the_definition():
    """By differences of the definition, each logit moved a little."""
    logits, text, step = logits_of(1, columns=3).double(), (1, 2), 1e-4
    moved = logits.clone().requires_grad_()
    negative_log_likelihood(moved, padded([text])).sum().backward()
    for t, k in itertools.product(range(3), range(SYMBOLS + 1)):
        ends = []
        for by in (step, -step):
            other = logits[0].clone()
            other[t, k] += by
            ends.append(-math.log(of_definition(other)[text]))
        assert float(moved.grad[0, t, k]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-4)


@pytest.mark.parametrize(
    ("path", "text"),
    [([0, 0, 0], []), ([1, 1, 1], [1]), ([1, 0, 1], [1, 1]), ([0, 2, 2, 0, 1, 2], [2, 1, 2]), ([3], [3])],
)
def test_repeats_merge_and_blanks_divide(path, text):
    assert [code for code, _, _ in collapsed(torch.tensor(path))] == text


def test_the_most_likely_path_is_read_where_it_peaks():
    logits = torch.full((1, 6, SYMBOLS + 1), -4.0)
    for column, code in enumerate((0, 2, 2, 0, 2, 1)):
        logits[0, column, code] = 4.0
    logits[0, 2, 2] = 6.0
    (found,) = best_paths(logits)
    assert found.codes == (2, 2, 1)
    assert found.places == pytest.approx((2 / 6, 4.5 / 6, 5.5 / 6))
    assert found.confidence[0] == pytest.approx(float(logits[0, 2].softmax(0)[2]))
    assert found.probability == pytest.approx(of_definition(logits[0])[(2, 2, 1)], rel=1e-4)


def test_a_wide_beam_finds_the_most_likely_text():
    """The likeliest text, whose paths add up, is often not that of the likeliest path."""
    logits = logits_of(2, count=20, columns=4)
    wide, narrow = beam_search(logits, 400), best_paths(logits)
    truth = [of_definition(one) for one in logits]
    for texts, found in zip(truth, wide, strict=True):
        assert found.codes == max(texts, key=texts.__getitem__)
        assert found.probability == pytest.approx(texts[found.codes], rel=1e-4)
    assert any(a.codes != b.codes for a, b in zip(wide, narrow, strict=True))


def test_a_wider_beam_is_no_less_likely():
    logits = logits_of(3, count=20)
    likely = [sum(one.probability for one in beam_search(logits, width)) for width in (1, 3, 10)]
    assert likely == sorted(likely)


def test_the_alignment_is_the_likeliest_path_of_the_text():
    logits = logits_of(4)[0].log_softmax(1)
    for text in ((1,), (1, 1), (2, 1, 3), (1, 2, 1, 2), ()):
        paths = itertools.product(range(SYMBOLS + 1), repeat=COLUMNS)
        fitting = [p for p in paths if tuple(code for code, _ in itertools.groupby(p) if code) == text]
        best = max(fitting, key=lambda path: sum(float(logits[t, k]) for t, k in enumerate(path)))
        assert aligned(logits, text) == collapsed(torch.tensor(best))


@pytest.mark.parametrize(("text", "needed"), [((1, 2, 3), 3), ((1, 1), 3), ((2, 2, 2), 5), ((1, 2, 2, 1), 5), ((), 0)])
def test_a_text_has_a_path_exactly_where_there_are_columns_enough(text, needed):
    codes = padded([text, (1,) * 4])[:1]
    assert columns_needed(codes).tolist() == [needed]
    for columns in range(1, 6):
        has_path = text in of_definition(torch.zeros(columns, SYMBOLS + 1))
        assert has_path == (columns >= needed)


def test_a_text_without_a_path_costs_nothing_and_teaches_nothing():
    logits = logits_of(5, count=2, columns=3).requires_grad_()
    losses = negative_log_likelihood(logits, padded([(1, 1, 1), (1, 2)]))
    losses.sum().backward()
    assert losses[0] == 0
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


def test_half_precision_is_summed_in_single_precision():
    """Also under autocast; the logits alone are rounded."""
    logits = logits_of(6, count=3).bfloat16()
    codes = padded([(1, 2), (3,), (1, 1)])
    with torch.autocast("cpu", torch.bfloat16):
        found = negative_log_likelihood(logits, codes)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, negative_log_likelihood(logits.float(), codes), rtol=0, atol=0)
