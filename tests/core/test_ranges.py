"""A call from Python is judged by the annotations that the command line is judged by."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import pytest
from annotated_types import Gt, Lt

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Positive, Share, checked


@checked
def make(width: Count, rate: Share = 0.5, clip: Positive | None = None, kind: Literal["a", "b"] = "a", free: int = 0):
    return width, rate, clip, kind, free


def test_what_is_in_range_goes_through():
    assert make(1) == (1, 0.5, None, "a", 0)
    assert make(2, 1.0, clip=0.1, kind="b", free=-7) == (2, 1.0, 0.1, "b", -7)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"width": 0}, "width is 0; expected at least 1."),
        ({"width": 1, "rate": 1.5}, "rate is 1.5; expected at least 0 and at most 1."),
        ({"width": 1, "clip": 0}, "clip is 0; expected a number above 0."),
        ({"width": 1, "kind": "c"}, "kind is c; expected a, b."),
    ],
)
def test_what_is_not_is_refused(arguments, said):
    with pytest.raises(UserError) as caught:
        make(**arguments)
    assert str(caught.value) == said


@checked
def many(sizes: Sequence[Count], depth: Count | Sequence[Count], mode: Literal["a", "b"] | Positive | None = None):
    return sizes, depth, mode


def test_items_and_unions_are_judged_by_their_parts():
    assert many([1, 2], [3]) == ([1, 2], [3], None)
    assert many([1], 3, 0.5) == ([1], 3, 0.5)
    for wrong in (([0], 1), ([1], 0), ([1], [2, 0]), ([1], 1, "c"), ([1], 1, -1.0), ([1], "x"), (1, 1)):
        with pytest.raises(UserError, match="expected"):
            many(*wrong)


def test_both_ends_may_be_left_out():
    @checked
    def inside(x: Annotated[float, Gt(0), Lt(1)]) -> float:
        return x

    assert inside(0.5) == 0.5
    for value in (0, 1):
        with pytest.raises(UserError, match="above 0 and below 1"):
            inside(value)


def test_the_message_of_a_call_with_wrong_names_is_pythons_own():
    with pytest.raises(TypeError, match="width"):
        make()


@checked
def make_many(widths: Sequence[Count] | None = None, rates: Mapping[str, Positive] | None = None, name: str = ""):
    return widths, rates, name


def test_what_is_in_a_list_or_a_mapping_is_judged_too():
    assert make_many([1, 2], {"a": 0.1}, "x") == ([1, 2], {"a": 0.1}, "x")
    assert make_many((3,))[0] == (3,)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"widths": [1, 0]}, "widths[1] is 0; expected at least 1."),
        ({"widths": [1.5]}, "widths[0] is 1.5; expected an integer and at least 1."),
        ({"widths": "12"}, "widths is 12; expected a list."),
        ({"widths": 3}, "widths is 3; expected a list."),
        ({"rates": {"a": 1, "b": "much"}}, "rates.b is much; expected a number above 0."),
        ({"rates": 0.1}, "rates is 0.1; expected a mapping, {name: value}."),
        ({"rates": {"a": True}}, "rates.a is True; expected a number above 0."),
    ],
)
def test_a_list_or_a_mapping_names_the_entry(arguments, said):
    with pytest.raises(UserError) as caught:
        make_many(**arguments)
    assert str(caught.value) == said
