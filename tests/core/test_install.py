"""What is missing is installed from the clone: no message, page or YAML names lightloom on a package index."""

import re
import tomllib
from pathlib import Path

import pytest

from lightloom.core.errors import UserError, check_installed, required

ROOT = Path(__file__).parents[2]
WHERE = [
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "configs").rglob("*.yaml"),
    *(ROOT / "docs").glob("*.md"),
    *ROOT.glob("*.md"),
]
TEXTS = {path: path.read_text(encoding="utf-8") for path in WHERE}


def test_nothing_is_installed_from_an_index():
    assert [str(p) for p, text in TEXTS.items() if re.search(r"pip install\s+[\"'`]?lightloom", text)] == []


def test_each_extra_that_is_named_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    called = {name for text in TEXTS.values() for name in re.findall(r"install\(['\"](\w+)['\"]\)", text)}
    written = {name for text in TEXTS.values() for name in re.findall(r"install -e \"\.\[(\w+)\]", text)}
    assert called | written
    assert (called | written) - set(extras) == set()


def test_the_command_names_the_extra():
    with pytest.raises(UserError, match=r'not installed here: \.venv/bin/uv pip install -e "\.\[export\]"\.$'):
        check_installed("format=onnx", "export", "no_such_library")


def test_without_a_clone_the_libraries_are_named():
    assert [one.partition(">")[0] for one in required("sweep")] == ["optuna", "submitit"]
