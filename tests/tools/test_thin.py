"""make new KIND=thin: a project on the installed package, with its own configs, code and tests."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import commands
import pytest
from conftest import ROOT
from moving import move_over


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("thin")
    new = [sys.executable, str(ROOT / "tools/new.py"), "finch", "--kind", "thin", "--dir", str(where / "finch")]
    subprocess.run(new, env={**os.environ, "HOME": str(where)}, check=True)
    (wheel,) = (where / "finch/vendor").glob("*.whl")
    with zipfile.ZipFile(wheel) as content:  # as if it were installed
        content.extractall(where / "src")
    (where / "src/entry.py").write_text("from lightloom.cli.main import main\n\nmain()\n")
    move_over(where / "finch", where / "finch/src/finch", "finch")
    return where / "finch"


def lightloom(project: Path, *arguments: str) -> str:
    """The output of `lightloom <arguments>`, given in a folder of the project."""
    environment = {"LIGHTLOOM_LOG_DIR": "", "CUDA_VISIBLE_DEVICES": ""}
    own = {"script": "entry", "root": project.parent, "cwd": project / "src", "env": environment}
    started = commands.start(project.parent / "output", *arguments, **own)
    assert started.wait() == 0, started.text
    return started.text


def test_it_holds_little_and_names_its_wheel(project):
    files = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=True).stdout.split()
    assert sum((project / f).read_text().count("\n") for f in files if f.endswith(".py")) < 300
    version = next((project / "vendor").glob("*.whl")).name.split("-")[1]
    assert f'"lightloom=={version}"' in (project / "pyproject.toml").read_text()
    assert not [f for f in files if f.endswith((".py", ".yaml", ".md")) and "my_project" in (project / f).read_text()]


def test_own_code_and_configs_train_and_are_trusted_by_name(project):
    """In a process whose folder is below the project: runs are written into the project all the same."""
    once = [f"trainer.limit_{split}_batches=1" for split in ("train", "val", "test")]
    lightloom(project, "train", "experiment=digits", *once)
    (run,) = (project / "logs/runs/digits_net-small_digits").iterdir()
    assert (run / "epochs.txt").read_text() == "2"
    assert "test/acc" in json.loads((run / "results.json").read_text())
    assert "Results:" in lightloom(project, "eval", f"ckpt_path={run}")  # names finch.their_parts, of pyproject.toml


def test_its_own_tests_pass(project):
    run = "import sys\n\nimport pytest\n\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))\n"
    (project.parent / "src/run_tests.py").write_text(run)
    started = commands.start(project.parent / "output", script="run_tests", root=project.parent, cwd=project)
    assert started.wait() == 0, started.text
    assert " passed" in started.text
