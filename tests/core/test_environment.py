"""An environment variable that is set but empty counts as not set."""

import re
from pathlib import Path

import pytest
from conftest import compose

from lightloom.cli.launch import prepared
from lightloom.core import run_dir
from lightloom.core.environment import variable

ROOT = Path(__file__).parents[2]
FILES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "configs").rglob("*.yaml")]
OURS = sorted({name for file in FILES for name in re.findall(r"\bLIGHTLOOM_[A-Z_]+\b", file.read_text("utf-8"))})
LAUNCHERS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_NAME")


def test_there_are_some():
    assert {"LIGHTLOOM_DATA_DIR", "LIGHTLOOM_LOG_DIR", run_dir.RUN_TIME, run_dir.SWEEP} <= set(OURS)


def test_a_variable(monkeypatch):
    monkeypatch.setenv("LIGHTLOOM_DATA_DIR", "here")
    assert variable("LIGHTLOOM_DATA_DIR", "there") == "here"
    monkeypatch.setenv("LIGHTLOOM_DATA_DIR", "")
    assert variable("LIGHTLOOM_DATA_DIR", "there") == "there"
    monkeypatch.delenv("LIGHTLOOM_DATA_DIR")
    assert variable("LIGHTLOOM_DATA_DIR") is None


@pytest.mark.parametrize("name", LAUNCHERS)
def test_an_empty_variable_of_a_launcher_starts_no_group(name, monkeypatch):
    monkeypatch.setenv(name, "")
    assert (run_dir.rank(), run_dir.is_slurm_job()) == (0, False)


def test_our_own_are_not_set_where_they_are_empty(monkeypatch, tmp_path):
    line = [f"hydra.run.dir={tmp_path / 'run'}"]

    def outcome() -> tuple[object, ...]:
        cfg = compose()
        return cfg.paths.data_dir, cfg.paths.log_dir, prepared(line, "train")

    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    without = outcome()
    for name in OURS:
        monkeypatch.setenv(name, "")
    assert outcome() == without


def test_no_yaml_takes_an_empty_variable_for_a_value():
    assert [str(f) for f in FILES if f.suffix == ".yaml" and "oc.env" in f.read_text("utf-8")] == []
