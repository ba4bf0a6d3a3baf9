"""make new: a project of one's own, renamed, that works by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


def new(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools/new.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def python(project: Path, *arguments: str) -> str:
    """The output of a command in the new project, which sees nothing of this one."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("LIGHTLOOM_")}
    own = environment | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "src"}
    done = subprocess.run([sys.executable, *arguments], cwd=project, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("new") / "bird_watch"
    done = new("bird_watch", "--dir", str(where), "--with", "model/resnet34", HOME=str(where.parent))
    assert done.returncode == 0, done.stderr
    return where


def test_nothing_of_the_old_name_is_left(project):
    paths = [path.relative_to(project) for path in project.rglob("*") if ".git" not in path.parts]
    files = [path for path in paths if (project / path).is_file()]
    assert len(files) > 100
    assert [path for path in paths if "lightloom" in str(path).lower()] == []
    assert [f for f in files if "lightloom" in (project / f).read_text(encoding="utf-8").lower()] == []


def test_it_begins_with_one_commit_of_everything(project):
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=True).stdout

    assert git("rev-list", "--count", "HEAD").strip() == "1"
    assert git("status", "--porcelain") == ""


def test_it_has_one_example_and_what_was_asked_for(project):
    def names(group: str) -> set[str]:
        return {path.stem for path in (project / "configs" / group).glob("*.yaml")}

    assert names("model") == {"lenet", "mlp", "timm", "resnet34", "resnet18"}  # one builds on the other
    assert names("data") == {"digits", "image_folder"}
    assert names("experiment") == {"example"}
    assert not [name for name in ("benchmarks", "docs/results.md", "tools") if (project / name).exists()]
    assert not (project / "src/bird_watch/networks/vgg.py").exists()


def test_it_trains_and_its_tests_pass(project):
    once = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "test=false"]
    assert "1 epochs, 1 steps" in python(project, "src/train.py", "experiment=example", *once)
    assert len(list((project / "logs/runs/lenet-digits").glob("*/checkpoints/last.ckpt"))) == 1
    assert " passed" in python(project, "-m", "pytest", "-q", "tests/config/test_values.py", "tests/ops/test_rng.py")


def test_its_lint_has_nothing_to_say(project):
    python(project, "-m", "ruff", "check", "--no-cache", ".")
    python(project, "-m", "ruff", "format", "--no-cache", "--check", ".")


def test_its_makefile_has_no_target_whose_script_stayed_behind(project):
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {
        "help", "setup", "train", "test", "test-fast", "test-lightning-loop", "coverage", "lint", "format", "lock",
        "clean",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([""], "NAME is missing"),
        (["my-project"], "cannot be a package's name"),
        (["class"], "cannot be a package's name"),
        (["json"], "is the name of another module (Python's own)"),
        (["torch"], "is the name of another module (installed: "),
        (["lightloom"], "is the name of another module"),
        (["train"], "is the name of another module"),
        (["mine", "--dir", "."], "exists already; name a folder that does not"),
        (["mine", "--with", "model/reznet18"], "there is no configs/model/reznet18.yaml. Did you mean model/resnet18"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_message(arguments, said, tmp_path):
    target = [] if "--dir" in arguments else ["--dir", str(tmp_path / "mine")]
    done = new(*arguments, *target)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
