"""Programmed rewards against what can be counted by hand."""

import pytest

from lightloom.core.errors import UserError
from lightloom.ops.rewards import Length, Occurrences, Share

ANSWERS = ["", "A tree", "the Then, bathe", "xyz"]


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (Share(), [0, 5, 8 / 3, 0]),
        (Share("z", per=3), [0, 0, 0, 1]),
        (Length(6), [-1, 0, -1.5, -0.5]),
        (Occurrences("the"), [0, 0, 3, 0]),
    ],
)
def test_it_counts(reward, expected):
    assert reward([""] * 4, ANSWERS).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("part", "nothing"), [(Share, {"letters": ""}), (Occurrences, {"text": ""}), (Length, {"target": 0})]
)
def test_a_reward_for_nothing_is_refused(part, nothing):
    with pytest.raises(UserError):
        part(**nothing)
