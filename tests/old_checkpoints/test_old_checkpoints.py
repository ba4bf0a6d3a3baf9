"""Checkpoints of version 0.1, whose package and modules had other names, give the numbers that they gave then.

Each family takes some seconds: it is evaluated, predicts and, where its file is whole, goes on for an epoch, by the
commands.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import commands
import make
import pytest
from conftest import names

from lightloom.config.aliases import MODULES, OBJECTS, PACKAGES, current
from lightloom.config.instantiate import import_target

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
MODELS = {name: make.TRAIN[name][0].partition("=")[2] for name in EXPECTED["families"]}
FAMILIES = [name for name, model in MODELS.items() if model in names("model")]


@pytest.fixture
def forked(monkeypatch, tmp_path):
    """The commands of make.py as forks of a process that has loaded the libraries."""

    def run(script: str, options: list[str], folder: Path) -> Path:
        commands.run(tmp_path, *options, f"hydra.run.dir={folder}", script=script)
        return folder

    monkeypatch.setattr(make, "run", run)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_gives_what_it_gave(family, forked, tmp_path):
    planned = EXPECTED["families"][family]
    measured = make.measure(planned, HERE / f"{family}.ckpt", tmp_path)
    assert list(make.differences(planned, measured, EXPECTED["tolerance"])) == []


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in HERE.glob("*.ckpt")) < 200_000


@pytest.mark.parametrize("name", OBJECTS.values())
def test_what_was_renamed_is_there(name):
    assert import_target(name)


@pytest.mark.parametrize("module", MODULES.values())
def test_what_was_moved_is_there(module):
    assert importlib.util.find_spec(module)


def test_a_name_that_never_moved_changes_its_package_only():
    assert current("lightlab.networks.lenet.LeNet") == "lightloom.networks.lenet.LeNet"
    assert current("torch.optim.SGD") == "torch.optim.SGD"
    assert current("lightloom.networks.lenet.LeNet") == "lightloom.networks.lenet.LeNet"
    assert set(PACKAGES) == {"lightlab"}
