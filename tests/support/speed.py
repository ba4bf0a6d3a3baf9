"""Choose the tests of `make test-fast` by what their code reaches, so that nobody keeps a list of them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
COSTLY = frozenset({"subprocess", "Process", "spawn"})  # starts a process
COSTLY |= {"Trainer", "fit", "zero_grad", "train_and_restore"}  # trains
COSTLY |= {"largest_difference"}  # exports, and compares the file with the model
CASES = 2  # of a parametrized test: the first and the last


def fast(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The items that are not slow; of a test with many cases `CASES`, evenly spaced."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if not item.get_closest_marker("slow"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return [item for of_one in cases.values() for item in _evenly(of_one)]


def _evenly(cases: list[pytest.Item]) -> list[pytest.Item]:
    last = len(cases) - 1
    return [cases[i] for i in sorted({round(n * last / (CASES - 1)) for n in range(CASES)})]


def is_slow(test: pytest.Function) -> bool:
    """Whether the test, its fixtures, or functions of tests/ that these call start a process, train or export."""
    info = test._fixtureinfo
    fixtures = [d.func for name in info.names_closure for d in info.name2fixturedefs.get(name, ())]
    return any(reaches_costly_code(inner_function(f)) for f in (test.function, *fixtures))


def inner_function(wrapped: Any) -> Any:
    """The function below its decorators."""
    while hasattr(wrapped, "__wrapped__"):
        wrapped = wrapped.__wrapped__
    return getattr(wrapped, "__func__", wrapped)


@functools.cache
def reaches_costly_code(root: Any) -> bool:
    """Whether the function names something costly, itself or in the functions of tests/ that it may call."""
    seen: set[Any] = set()
    waiting = [root]
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        names = frozenset(_names(function.__code__))
        if names & COSTLY:
            return True
        waiting += _called(function, names)
    return False


def _names(code: CodeType) -> Iterator[str]:
    """Globals and attributes that the code and the functions inside it name."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _called(function: FunctionType, names: frozenset[str]) -> Iterator[Any]:
    """The functions and methods of tests/ that the names may mean."""
    for name in names:
        found = inner_function(function.__globals__.get(name))
        if isinstance(found, ModuleType):
            yield from (inner_function(vars(found)[n]) for n in names if n in vars(found) and _is_own(found))
        elif isinstance(found, type) and _is_own(found):
            yield from (inner_function(method) for method in vars(found).values())
        elif _is_own(found):
            yield found


def _is_own(found: Any) -> bool:
    is_function = isinstance(found, FunctionType)
    file = found.__code__.co_filename if is_function else getattr(_module_of(found), "__file__", None)
    return bool(file) and Path(file).is_relative_to(TESTS)


def _module_of(found: Any) -> Any:
    return found if isinstance(found, ModuleType) else sys.modules.get(getattr(found, "__module__", ""))
