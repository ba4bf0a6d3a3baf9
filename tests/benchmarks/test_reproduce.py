"""`make reproduce`: the cheapest first, nothing twice, and nothing on the page of results that no step shows."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import shlex

import pytest
from conftest import ROOT

from lightloom.config import compose

COMMAND = re.compile(r"`((?:python |experiment=|model=\w+ |benchmarks/|src/)[^`\n]*)`")
WRITES = {"benchmarks/scoreboard.py", "--record"}  # the page itself
WITHIN = {"experiment=finetune"}  # what benchmarks/finetune.py runs


@pytest.fixture
def reproduce(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("reproduce")


@pytest.fixture
def executed(reproduce, monkeypatch):
    """Commands that were given, each of which takes 90 CPU seconds; `fail` fails."""
    given = []

    def execute(command, folder, index):
        given.append(command)
        folder.mkdir(parents=True, exist_ok=True)
        return int("fail" in command), 90.0

    monkeypatch.setattr(reproduce, "execute", execute)
    return given


def step(reproduce, name, minutes, commands=("a",), **others):
    return reproduce.Step(name, commands, minutes, **others)


def test_steps_come_by_their_cost_and_after_what_they_read(reproduce, tmp_path):
    known = reproduce.steps(tmp_path)
    here = [s for s in known if not s.needs]
    assert known[: len(here)] == here
    cost = {s.name: s.minutes for s in here}
    keys = [max(s.minutes, cost.get(s.after, 0)) for s in here]
    assert keys == sorted(keys)
    places = [s.name for s in known]
    assert all(places.index(s.after) < places.index(s.name) for s in known if s.after)
    assert len(set(places)) == len(places)


def test_a_dear_step_that_another_reads_draws_it_behind_itself(reproduce, tmp_path):
    cheap, dear = step(reproduce, "cheap", 1, after="dear"), step(reproduce, "dear", 5)
    steps = [cheap, dear, step(reproduce, "between", 3), step(reproduce, "gpu", 0, needs="a GPU")]
    assert [s.name for s in reproduce.in_order(steps, tmp_path)] == ["between", "dear", "cheap", "gpu"]


@pytest.mark.parametrize(("minutes", "expected"), [(0, 0), (0.9, 0), (1, 1), (5.9, 2), (6, 3), (1e9, 3)])
def test_until_takes_the_longest_beginning_that_fits(reproduce, minutes, expected):
    steps = [step(reproduce, str(m), m) for m in (1, 2, 3)] + [step(reproduce, "gpu", 0, needs="a GPU")]
    assert reproduce.within(steps, minutes) == steps[:expected]


def test_what_was_done_is_not_done_again(reproduce, executed, tmp_path):
    one = step(reproduce, "one", 1, ("a", "fail", "c"))
    assert not reproduce.run(one, tmp_path)
    assert executed == ["a", "fail"]
    mended = step(reproduce, "one", 1, ("a", "b", "c"))
    assert reproduce.run(mended, tmp_path)
    assert executed == ["a", "fail", "b", "c"]
    assert reproduce.run(mended, tmp_path)
    assert len(executed) == 4
    assert reproduce.in_order([mended], tmp_path)[0].minutes == 4.5
    assert "  4.5 min  one" in reproduce.report(reproduce.in_order([mended], tmp_path), tmp_path)[0]


def test_a_command_goes_into_a_folder_that_the_same_command_finds_again(reproduce, monkeypatch, tmp_path):
    """Its exit code and CPU time are those of the process."""
    script = tmp_path / "src/train.py"
    script.parent.mkdir()
    script.write_text("import json, sys; print(json.dumps(sys.argv[1:])); sum(range(10**6)); sys.exit(3)")
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    code, seconds = reproduce.execute("src/train.py model=mlp", tmp_path / "one", 2)
    assert code == 3
    assert 0 < seconds < 5
    said = json.loads((tmp_path / "one/output.txt").read_text())
    assert said == ["model=mlp", f"hydra.run.dir={tmp_path / 'one/2'}"]


@pytest.fixture
def commands(reproduce, tmp_path):
    """Of all steps, seeds aside."""
    everything = itertools.chain.from_iterable(s.commands for s in reproduce.steps(tmp_path))
    return sorted({re.sub(r" seed=\d+$", "", command) for command in everything})


def test_each_command_is_one_that_there_is(commands):
    """Over 5 s on a busy machine: each is composed."""
    for command in commands:
        script, *options = shlex.split(command)
        assert (ROOT / script).is_file(), command
        if script == "src/train.py":
            compose.check("train", options)  # raises where one of them is none


def test_the_page_has_no_figure_that_no_step_shows(reproduce, commands):
    rows = importlib.import_module("classics").rows().values()
    shown = [{*shlex.split(command)} for command in commands] + [{"src/train.py", *row["options"]} for row in rows]
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    stated = [{*shlex.split(text)} - {"python"} for text in COMMAND.findall(page)]
    assert [words for words in stated if not (words <= WRITES | WITHIN or any(words <= one for one in shown))] == []
