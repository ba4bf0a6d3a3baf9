"""Sizes and lists in messages."""

import pytest

from lightloom.core.text import first_of, megabytes


@pytest.mark.parametrize(("size", "text"), [(0, "0.0 MB"), (1_500_000, "1.5 MB"), (1_234_500_000, "1,234.5 MB")])
def test_a_megabyte_is_a_million_bytes(size, text):
    assert megabytes(size) == text


@pytest.mark.parametrize(("count", "text"), [(0, ""), (2, "0, 1"), (3, "0, 1, 2"), (5, "0, 1, 2 and 2 more")])
def test_a_long_list_ends_with_the_number_of_the_rest(count, text):
    assert first_of(range(count), 3) == text
