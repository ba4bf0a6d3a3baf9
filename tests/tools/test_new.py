"""make new: a project of one's own, renamed, that works by itself."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT
from moving import move_over


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
    origin = {Path("LICENSE"), Path(".template.toml")}  # whose it was, and where an upgrade comes from
    assert {f for f in files if "lightloom" in (project / f).read_text(encoding="utf-8").lower()} == origin
    assert (project / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


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
    assert not [name for name in ("benchmarks", "docs/results.md") if (project / name).exists()]
    assert [path.name for path in (project / "tools").iterdir()] == ["environment.py"]
    assert not (project / "src/bird_watch/networks/vgg.py").exists()


def test_parts_of_the_other_template_move_over_by_the_page_and_all_is_green(project):
    """Its module, datamodule, callback, experiment and search, with their interfaces, as docs/from-... says."""
    move_over(project, project / "src/bird_watch/modules", "bird_watch.modules")
    once = ["trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    told = python(project, "src/train.py", "experiment=digits", *once)
    assert "2 epochs, 2 steps" in told
    (run,) = (project / "logs/runs/digits_net-small_digits").iterdir()
    assert (run / "epochs.txt").read_text() == "2"  # of the callback
    assert {"best val/acc", "test/acc", "test/loss"} <= json.loads((run / "results.json").read_text()).keys()
    said = python(project, "-m", "pytest", "-q", "tests/config/test_configs.py", "-k", "digit or preset", "tests/ops")
    assert re.search(r"\d+ passed", said)
    python(project, "-m", "ruff", "check", "--no-cache", ".")


def test_what_is_said_of_it_is_its_own(project):
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert about["description"] == "What bird_watch is about, in one sentence"
    assert about["version"] == "0.1.0"
    assert "keywords" not in about
    origin = tomllib.loads((project / ".template.toml").read_text())
    assert (origin["kind"], origin["name"], origin["with"]) == ("full", "bird_watch", ["model/resnet34"])
    assert re.fullmatch(r"[0-9a-f]{40}\+?", origin["commit"])


def test_help_names_only_what_is_there(project):
    told = "import bird_watch.cli.help as help; print(*map(help.text, help.USAGE), sep='\\n')"
    said = python(project, "-c", told)
    for group, name in re.findall(r" (model|data|sweep|experiment|optimizer)=(\w+)", said):
        assert name == "NAME" or (project / f"configs/{group}/{name}.yaml").is_file(), f"{group}={name}"


def test_families_choose_what_is_copied(tmp_path):
    done = new("birds", "--dir", str(tmp_path / "birds"), "--with", "images", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    left = tmp_path / "birds/src/birds"
    others = ("data/boxes", "data/masks", "data/tokens.py", "data/environments", "sweeps", "exporting", "serve")
    others += ("modules/gan.py", "modules/targets.py", "modules/ppo.py", "predict/web.py", "predict/samples")
    assert [name for name in others if (left / name).exists()] == []
    assert not (tmp_path / "birds/configs/logger/wandb.yaml").exists()
    sources = [*left.rglob("*.py"), *left.parent.glob("*.py")]
    assert sum(len(path.read_text().splitlines()) for path in sources) < 21_000  # of 47,000
    assert (left / "reporting/chapters/classes.py").is_file()  # no file names it: it is found by its place
    found = [path.relative_to(left.parent) for path in left.rglob("*.py")]
    modules = sorted(".".join(path.with_suffix("").parts) for path in found if path.stem != "__init__")
    python(tmp_path / "birds", "-c", f"from importlib import import_module\nfor m in {modules}: import_module(m)")
    fast = ("-m", "pytest", "-q", "--fast", "tests/config", "tests/cli", "tests/optim", "-k", "not help_needs")
    assert " passed" in python(tmp_path / "birds", *fast)


def test_its_makefile_has_no_target_whose_script_stayed_behind(project):
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {
        "help", "setup", "add", "train", "test", "test-fast", "test-lightning-loop", "coverage", "lint", "format",
        "lock", "upgrade", "serve", "clean",
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
        (["mine", "--with", "model/reznet18"], "no family of this name. Did you mean model/resnet18"),
        (["mine", "--without", "box"], "WITHOUT=box: there is no such family. Did you mean boxes?"),
        (["mine", "--kind", "slim"], "KIND=slim: a project is full"),
        (["mine", "--kind", "thin", "--with", "images"], "KIND=thin copies nothing"),
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
