"""An environment variable that is set but empty counts as not set."""

import ast
import os
import re
from pathlib import Path

import pytest
from conftest import compose

from lightloom.cli.launch import prepared
from lightloom.core import run_dir
from lightloom.core.environment import drop_empty, variable
from lightloom.engine import rendezvous

ROOT = Path(__file__).parents[2]
FILES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "configs").rglob("*.yaml")]
OURS = sorted({name for file in FILES for name in re.findall(r"\bLIGHTLOOM_[A-Z_]+\b", file.read_text("utf-8"))})
LAUNCHERS = ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_NAME")


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
    assert (run_dir.rank(), run_dir.is_slurm_job(), rendezvous.is_torchrun()) == (0, False, False)


def test_our_own_are_not_set_where_they_are_empty(monkeypatch, tmp_path):
    line = [f"hydra.run.dir={tmp_path / 'run'}"]

    def outcome() -> tuple[object, ...]:
        cfg = compose()
        return cfg.paths.data_dir, cfg.paths.log_dir, prepared(line, "train")[0]

    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    without = outcome()
    for name in OURS:
        monkeypatch.setenv(name, "")
    assert outcome() == without


def test_no_yaml_takes_an_empty_variable_for_a_value():
    assert [str(f) for f in FILES if f.suffix == ".yaml" and "oc.env" in f.read_text("utf-8")] == []


def test_libraries_do_not_see_an_empty_variable_of_a_launcher(monkeypatch):
    """Lightning takes an empty TORCHELASTIC_RUN_ID for torchrun; an empty CUDA_VISIBLE_DEVICES means none."""
    for name in (*LAUNCHERS, "WORLD_SIZE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("LOCAL_RANK", "0")
    drop_empty()
    assert {*LAUNCHERS, "WORLD_SIZE", "CUDA_VISIBLE_DEVICES"} & os.environ.keys() == {
        "LOCAL_RANK",
        "CUDA_VISIBLE_DEVICES",
    }


@pytest.mark.parametrize("folder", ["src", "benchmarks"])
def test_an_environment_variable_is_read_by_one_function(folder):
    """`in os.environ`, `os.environ[...]`, `os.getenv` and `.get(name, default)` take an empty one for set."""
    sources = [file for file in (ROOT / folder).rglob("*.py") if file.name != "environment.py"]
    found = {
        f"{file.relative_to(ROOT)}:{line}" for file in sources for line in _reads(ast.parse(file.read_text("utf-8")))
    }
    assert found == set()


def _reads(tree: ast.AST) -> list[int]:
    """The lines that ask os.environ for one variable, but for `os.environ.get(name) or default`."""
    alternatives = [n for n in ast.walk(tree) if isinstance(n, ast.BoolOp) and isinstance(n.op, ast.Or)]
    excused = [n.values[0] for n in alternatives]
    return [n.lineno for n in ast.walk(tree) if _reads_environ(n) and not (n in excused and len(n.args) == 1)]


def _reads_environ(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return any(map(_is_environ, node.comparators))
    if isinstance(node, ast.Subscript):
        return _is_environ(node.value) and isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "getenv" or (node.func.attr == "get" and _is_environ(node.func.value))
    return False


def _is_environ(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"
