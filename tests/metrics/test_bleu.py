"""BLEU against sacrebleu's own examples, a peer's code, and closed forms."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torchmetrics.text import SacreBLEUScore

from lightloom.metrics.bleu import Bleu, matched, tokenized


def score(texts, references):
    metric = Bleu()
    metric.update(texts, references)
    return {name: float(value) for name, value in metric.compute().items()}


def test_an_example_of_sacrebleu():
    """From its README: BLEU = 48.53 82.4/50.0/45.5/37.5 (BP = 0.943 ratio = 0.944 hyp_len = 17 ref_len = 18)."""
    texts = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    first = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]
    second = ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."]
    found = score(texts, list(zip(first, second, strict=True)))
    assert round(found["bleu"], 2) == 48.53
    assert [round(found[f"precision_{n}"], 1) for n in range(1, 5)] == [82.4, 50.0, 45.5, 37.5]
    assert round(found["brevity_penalty"], 3) == 0.943


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world! It's 3.5 or 1,000.", "Hello , world ! It's 3.5 or 1,000 ."),
        ("a well-known man (of 2-3)", "a well-known man ( of 2 - 3 )"),
        ("&quot;A &amp; B&quot; &lt;3", '" A & B " < 3'),
        ("50% of $20/day; see [1]", "50 % of $ 20 / day ; see [ 1 ]"),
        ("end-\nless\nlines", "endless lines"),
        ("Straße, naïve 日本。", "Straße , naïve 日本。"),
    ],
)
def test_a_text_is_divided_as_mteval_does(text, expected):
    assert tokenized(text) == expected.split()


def test_it_is_what_another_implementation_finds():
    """On texts of few words and signs, so that there are hits of all orders, with one reference and two."""
    draw = random.Random(0)
    parts = ["a", "the", "dog", "bit", "don't", "3.5", "1,000", "well-known", "(x)", "50%", "end.", "so,", "&amp;", "-"]
    texts, *known = ([" ".join(draw.choices(parts, k=draw.randint(3, 12))) for _ in range(60)] for _ in range(3))
    for count in (1, 2):
        references = list(zip(*known[:count], strict=True))
        peer = SacreBLEUScore(tokenize="13a")(texts, [list(one) for one in references])
        assert score(texts, references)["bleu"] / 100 == pytest.approx(float(peer), abs=1e-6)


def test_what_is_short_is_penalised_and_what_is_long_is_not():
    reference = "a b c d e f g h"
    found = score(["a b c d e"], [[reference]])
    assert found["brevity_penalty"] == pytest.approx(math.exp(1 - 8 / 5))
    assert found["bleu"] == pytest.approx(100 * math.exp(1 - 8 / 5))
    assert score([reference], [[reference]])["bleu"] == pytest.approx(100)
    longer = score([f"{reference} i j"], [[reference]])
    assert longer["brevity_penalty"] == 1
    assert longer["bleu"] == pytest.approx(100 * math.prod((8 / 10, 7 / 9, 6 / 8, 5 / 7)) ** 0.25)
    assert score([""], [[reference]])["bleu"] == score(["x y"], [[reference]])["bleu"] == 0


def test_a_word_counts_as_often_as_a_reference_has_it():
    """Papineni et al. 2002, section 2.1: of seven times "the" two."""
    hits, totals, written, nearest = matched("the the the the the the the", ["The cat is on the mat the"])
    assert (hits[0], totals[0], written, nearest) == (2, 7, 7, 7)


def test_counts_of_parts_are_added():
    """What processes have counted is summed before it is divided: so it does not depend on who has which text."""
    texts = ["a b c d e", "x a b c d", "q"]
    references = [["a b c d f"], ["a b c d"], ["q r"]]
    whole, parts = Bleu(), [Bleu(), Bleu()]
    whole.update(texts, references)
    parts[0].update(texts[:1], references[:1])
    parts[1].update(texts[1:], references[1:])
    for name in ("hits", "totals", "lengths"):
        assert torch.equal(getattr(whole, name), getattr(parts[0], name) + getattr(parts[1], name))
