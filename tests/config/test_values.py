"""What a value may be, and what a message about one says."""

import math

import pytest

from lightloom.config.values import AnyOf, Flag, Items, Number, OneOf, Text, Word


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("10", 10), (0.5, 0.5), (3, 3), ("abc", "abc"), ("", ""), (True, True), (None, None)],
)
def test_a_float_is_what_the_text_means(text, value):
    coerced = Number(float).coerce(text)
    assert (coerced, type(coerced)) == (value, type(value))


@pytest.mark.parametrize(("text", "value"), [("1e3", 1000), (2.0, 2), ("7", 7), ("2.5", 2.5)])
def test_an_integer_is_a_whole_number_however_written(text, value):
    coerced = Number(int).coerce(text)
    assert (coerced, type(coerced)) == (value, type(value))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Number(int), "an integer"),
        (Number(int, 1), "an integer of at least 1"),
        (Number(float, 0, above=True), "a number above 0"),
        (Number(float, high=2), "a number of at most 2"),
        (Number(float, 0, 1), "a number from 0 to 1"),
        (Number(float, 0, 1, above=True, below=True), "a number between 0 and 1"),
        (Number(float, 0, 1, below=True), "a number of at least 0 and below 1"),
        (Number(int, 1, also=(None, "all")), "an integer of at least 1, null or all"),
        (OneOf(("a", 2)), "a, 2"),
        (Flag(also=(None,)), "true, false or null"),
        (Word(also=(None,)), "text or null"),
        (Items(Number(int, 1)), "a list, each an integer of at least 1"),
        (Items(Number(float), length=2), "a list of 2, each a number"),
        (AnyOf((Word(), Items(Word()))), "text or a list, each text"),
    ],
)
def test_what_is_expected_in_words(rule, words):
    assert rule.expected() == words


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (Number(float, 0, 1, below=True), [0, "0.5", 0.999], [1, -0.1, "x", None, True, math.nan, [0.5]]),
        (Number(float, 0, 1, above=True), [1, 1e-9], [0, 1.1]),
        (OneOf((18, 34)), [18, "34"], [19, None, "resnet"]),
        (OneOf(("auto",), also=(None,)), ["auto", None], ["Auto", 0]),
        (Flag(), [True, False], ["yes", 1, None]),
        (Word(), ["", "a", 3, 0.5], [None, ["a"], {"a": 1}]),
        (Text("a+", "some a"), ["aa"], ["ab", None]),
        (Items(Number(int, 1)), [[], [1, "2"]], [3, [0], ["a"], None]),
        (Items(Number(float), length=2), [[0, 1]], [[0], [0, 1, 2]]),
        (AnyOf((Number(int), Items(Number(int))), also=(None,)), [1, [1], None], ["a", ["a"], 0.5]),
    ],
)
def test_what_a_rule_takes(rule, good, bad):
    assert [v for v in good if rule.problem("key", v)] == []
    assert [v for v in bad if not str(rule.problem("key", v)).startswith("key=")] == []


def test_text_becomes_what_the_first_fitting_rule_makes_of_it():
    rule = AnyOf((Number(int), Items(Number(float))))
    assert rule.coerce("3") == 3
    assert rule.coerce(["1e-3"]) == [0.001]
    assert OneOf((18, 34)).coerce("18") == 18
