"""A few cases of each hostile kind; benchmarks/attack.py tries hundreds. Its watch sees what there is."""

from __future__ import annotations

import importlib
import os
import pickle
import random
import re
import subprocess
import time
from types import ModuleType
from urllib.request import urlopen

import pytest
from commands import start
from conftest import ROOT

from lightloom.core.errors import UserError
from lightloom.engine import trust

pytestmark = pytest.mark.slow  # composes and imports by the hundred

ATTACKS = ROOT / "benchmarks/attacks"
NAMES = sorted(file.stem for file in ATTACKS.glob("*.py"))
CASES, CONFIGS = 6, ROOT / "configs"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.fixture
def watch(monkeypatch) -> ModuleType:
    found = importlib.import_module("attacks.watch")
    monkeypatch.setattr(found, "PATIENCE", 0.5)
    return found


def test_what_is_not_tried_here_says_where_it_is():
    """QUICK = 0  # tests/... of a file whose cases take seconds each: it names small versions of them."""
    slow = {name: re.search(r"^QUICK = 0(.*)", (ATTACKS / f"{name}.py").read_text(), re.MULTILINE) for name in NAMES}
    said = {name: re.findall(r"tests/[\w/.]+", found[1]) for name, found in slow.items() if found}
    assert said
    assert [
        name for name, paths in said.items() if not paths or not all((ROOT / path).is_file() for path in paths)
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_runs_leaks_or_hangs(name, tmp_path):
    """In a process of its own, for cases take memory, set up logs and leave threads behind."""
    cases = importlib.import_module(f"attacks.{name}")
    if not (count := getattr(cases, "QUICK", CASES)):
        return
    options = ("--only", name, "--count", str(count), "--seed", "1")
    done = start(tmp_path, *options, script="../benchmarks/attack", env={"PYTHONPATH": str(ROOT / "benchmarks")})
    assert done.wait() == 0, done.text[-3000:]
    for kind in getattr(cases, "KINDS", {}):
        (tried,) = re.findall(rf"^\| {re.escape(kind)} \| (\d+) \|", done.text, re.MULTILINE)
        assert int(tried) >= CASES, kind


def test_each_reader_of_a_folder_is_attacked():
    """By a whole folder of benchmarks/attacks/folders.py for some data set that has it."""
    layouts = importlib.import_module("attacks.folders").LAYOUTS
    readers = {path.stem: readers_of(path.read_text(encoding="utf-8")) for path in CONFIGS.glob("data/*.yaml")}
    attacked = set().union(*(readers[name] for name in layouts))
    assert len(attacked) > 20
    assert set().union(*readers.values()) - attacked == set()


def readers_of(text: str) -> set[str]:
    """Of a configuration those that read below `data.root`."""
    return {
        name for name, rest in re.findall(r"_target_: (lightloom\.data\.[\w.]+)\n(.*)", text) if "${data.root}" in rest
    }


def test_each_task_has_a_checkpoint_that_is_attacked():
    """Of today in benchmarks/attacks/tasks.py, or of old in tests/old_checkpoints."""
    tasks = importlib.import_module("attacks.tasks")
    assert {path.stem for path in CONFIGS.glob("task/*.yaml")} == tasks.MODELS.keys() | tasks.OLD


UNMEASURED = {  # docs/reliability.md says so
    "figures in batches of other sizes",
    "options beside each other",
}


def test_each_kind_has_a_row_of_what_came_of_it():
    """Nothing ran, leaked, hung or crashed where docs/reliability.md has its figures."""
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    kinds = {kind for name in NAMES for kind in getattr(importlib.import_module(f"attacks.{name}"), "KINDS", {})}
    assert kinds >= UNMEASURED
    for kind in kinds - UNMEASURED:
        (cells,) = re.findall(rf"^\| {re.escape(kind)} \|([\d |]+)\|$", page, re.MULTILINE)
        tried, refused, harmless, *bad = map(int, cells.split("|"))
        assert tried == refused + harmless >= 30, kind
        assert bad == [0, 0, 0, 0], kind


def refuse() -> None:
    raise UserError("no")


def test_the_watch_sees_each_outcome(watch, tmp_path):
    baits = watch.Baits(tmp_path)
    acts = {
        "refused": [refuse],
        "harmless": [lambda: 1, lambda: baits.folder.name],
        "crashed": [lambda: 1 / 0, lambda: exec("exit()")],
        "leaked": [lambda: os.environ["LIGHTLOOM_ATTACK"]],
        "hung": [lambda: time.sleep(5)],
        "ran": [
            lambda: pickle.loads(baits.pickle.read_bytes()),
            lambda: importlib.import_module(watch.MODULE),
            lambda: os.system(baits.command),
            lambda: subprocess.run(["true"]),
            lambda: urlopen(watch.ADDRESS),
            lambda: baits.pickle.read_bytes(),
            lambda: exec(baits.code),
        ],
    }
    for outcome, each in acts.items():
        for act in each:
            assert watch.attempt(watch.Case("", act), baits)[0] == outcome
    assert watch.attempt(watch.Case("", baits.pickle.read_bytes, may_read=True), baits)[0] == "harmless"


def test_of_all_that_can_be_imported_the_gate_admits_parts_only():
    """Thousands of names, of which Hydra's own list of what it refuses is not asked."""
    targets = importlib.import_module("attacks.targets")
    names = random.Random(2).sample(targets.pool(), 3000)
    admitted, refused = [], []
    for name in names:
        try:
            trust.check_object({"_target_": name}, "evil.ckpt", "model")
            admitted.append(name)
        except UserError as error:
            refused.append(str(error))
    assert all("not built" in message for message in refused)
    found = [trust.import_target(name) for name in admitted]
    assert found
    assert all(trust.is_part(one) and isinstance(one, type) for one in found if one not in trust.PARTS)
