"""Each pair of documented options runs three steps, or is refused in one line. docs/option-pairs.md has the table."""

from __future__ import annotations

import itertools

import pairs
import pytest

ROWS = pairs.rows()


@pytest.fixture(scope="module")
def documented() -> list[str]:
    return pairs.PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(filter(None, row)) for row in ROWS])
@pytest.mark.filterwarnings("ignore")
def test_options_run_beside_each_other_or_are_refused_in_one_line(row, documented, tmp_path, monkeypatch):
    """Half a second each; no process is started."""
    pairs.without_inductor(monkeypatch.setattr)
    said = pairs.outcome(row, tmp_path)
    assert (said == "ran") != any(map(pairs.is_refused, pairs.pairs(row))), said
    assert pairs.line(row, said) in documented, "write docs/option-pairs.md anew: make option-pairs"


def test_each_pair_of_values_is_tried_and_the_page_has_no_other_run(documented):
    values = list(pairs.factors().values())
    every = {
        frozenset({(a, v), (b, w)})
        for (a, first), (b, second) in itertools.combinations(enumerate(values), 2)
        for v, w in itertools.product(first, second)
    }
    refused = {pair for pair in every if pairs.is_refused(pair)}
    runs = [set(pairs.pairs(row)) for row in ROWS]
    assert len(refused) == len(pairs.REFUSED)
    assert set().union(*(own for own in runs if own.isdisjoint(refused))) == every - refused
    assert sum(line.startswith("| `") for line in documented) == len(ROWS)
