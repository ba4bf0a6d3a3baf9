"""What `make test-fast` leaves out is decided by what a test reaches: in its own code, its fixtures, its helpers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
from speed import CASES, fast, reaches_costly_code


def start_a_shell() -> None:
    subprocess.run(["true"], check=True)


def by_a_helper() -> None:
    start_a_shell()


def by_a_module_of_support() -> str:
    return commands.run(Path("logs"))


def inside_a_lambda() -> None:
    later = lambda: start_a_shell()  # noqa: E731 - the rule looks into the code inside of code
    later()


def of_a_library() -> None:
    assert pytest.approx(1) == json.loads("1")


@pytest.mark.parametrize("function", [start_a_shell, by_a_helper, by_a_module_of_support, inside_a_lambda])
def test_a_process_is_found_however_it_is_reached(function):
    assert reaches_costly_code(function)


def test_a_library_is_not_followed():
    assert not reaches_costly_code(of_a_library)


def test_a_fixture_makes_its_tests_slow(run_cli, request):
    assert request.node.get_closest_marker("slow")


def test_some_cases_stand_for_all():
    items = [SimpleNamespace(nodeid=f"test_a.py::test_b[{i}]", get_closest_marker=lambda name: None) for i in range(9)]
    kept = fast(items)
    assert (len(kept), kept[0], kept[-1]) == (CASES, items[0], items[-1])
    assert fast(items[:2]) == items[:2]


def test_others_are_fast(tmp_path, request):
    assert not request.node.get_closest_marker("slow")
