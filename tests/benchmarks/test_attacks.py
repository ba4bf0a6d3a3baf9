"""Files of foreign origin, mutated: a sample of what benchmarks/attack.py tries, none of which may be a fault."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
from conftest import ROOT

from lightloom.core.errors import UserError

sys.path.append(str(ROOT / "benchmarks/attacks"))
import annotations as attacks

SAMPLES = {"runs": 6, "labels": 60}  # of each kind, else:
SAMPLE = 25
DEADLINE = 5  # seconds for one


@contextmanager
def deadline() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", attacks.KINDS)
def test_a_mutated_file_is_read_or_refused(kind):
    every = list(attacks.KINDS[kind]())
    outcomes = set()
    for _, attempt in islice(every, 0, None, max(1, len(every) // SAMPLES.get(kind, SAMPLE))):
        with deadline():
            try:
                attempt()
                outcomes.add("read")
            except UserError as error:
                outcomes.add("refused" if len(str(error)) < 2000 else "a long message")
    assert outcomes - {"refused"} == {"read"}  # else what is mutated was no file to begin with


def test_there_are_two_thousand_each_another():
    names = [name for cases in attacks.KINDS.values() for name, _ in cases()]
    assert len(names) == len(set(names)) >= 2000
