"""The wheel, built once and unpacked where nothing else is: the commands work in any empty folder."""

import subprocess
import sys
import zipfile
from pathlib import Path

import commands
import pytest
from conftest import ROOT

BUILD = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir")
NEEDED = ("src", "configs", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the wheel's content in src/, and src/entry.py, which is what pip makes of its entry point."""
    where = tmp_path_factory.mktemp("wheel")
    copied = where / "sources"
    copied.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z", *NEEDED], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (copied / name).parent.mkdir(parents=True, exist_ok=True)
        (copied / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, *BUILD, str(where), "."], cwd=copied, check=True)
    with zipfile.ZipFile(next(where.glob("*.whl"))) as wheel:
        wheel.extractall(where / "src")
    (where / "src/entry.py").write_text("from lightloom.cli.main import main\n\nmain()\n")
    return where


def lightloom(installed: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `lightloom <arguments>`, given in the folder."""
    log_dir = {"LIGHTLOOM_LOG_DIR": "", "CUDA_VISIBLE_DEVICES": ""}
    started = commands.start(
        folder.parent / "output", *arguments, script="entry", root=installed, cwd=folder, env=log_dir
    )
    return started.wait(), started.text


def test_it_trains_in_an_empty_folder_and_says_how_to_go_on(installed, tmp_path):
    (folder := tmp_path / "empty").mkdir()
    limits = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "test=false"]
    code, text = lightloom(installed, folder, "train", "model=mlp", *limits)
    assert code == 0, text
    assert [path.name for path in folder.iterdir()] == ["logs"]
    (run,) = (folder / "logs/runs/mlp-digits").iterdir()
    assert (run / "checkpoints/last.ckpt").is_file()
    page = (run / "report.html").read_text()
    assert f"lightloom train ckpt_path=logs/runs/mlp-digits/{run.name}" in page
    assert "src/train.py" not in page


def test_yaml_files_of_the_folder_come_before_those_of_the_wheel(installed, tmp_path):
    folder = tmp_path / "mine"
    for name, text in (("model/mlp", "a: {b: 1}"), ("experiment/first", "# @package _global_\nseed: 7")):
        (folder / f"configs/{name}.yaml").parent.mkdir(parents=True)
        (folder / f"configs/{name}.yaml").write_text(text)
    assert "seed: 7" in lightloom(installed, folder, "train", "experiment=first", "--cfg", "job")[1]
    code, text = lightloom(installed, folder, "train", "model=mlp")
    assert code == 2
    assert text.startswith(
        "error: model=mlp: its YAML makes no model, it has no _target_; begin it with `defaults: [base/<"
    )


def test_help_and_mistakes_name_the_command_as_it_is_called(installed, tmp_path):
    (folder := tmp_path / "empty").mkdir()
    code, text = lightloom(installed, folder, "train", "--help")
    assert (code, "Usage: lightloom train [model=NAME]" in text, "python src/" in text) == (0, True, False)
    known = ", ".join(sorted(path.stem for path in (ROOT / "src").glob("*.py")))
    said = f"error: trai is no command. Did you mean train? Known: {known}.\n"
    assert lightloom(installed, folder, "trai") == (2, said)
    assert "lightloom <command> --help shows" in lightloom(installed, folder, "train", "--no-such-flag")[1]
    assert list(folder.iterdir()) == []
