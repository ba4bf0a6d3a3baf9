"""The commands of the README and of the docs pages, as they stand there, each page in a fresh copy of the project."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import commands as processes
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if "\n```bash\n" in page.read_text(encoding="utf-8")]
PAGES.remove(ROOT / "docs/add-a-data-kind.md")  # which tests/docs/test_add_a_data_kind.py follows
TRANSLATED = sorted(ROOT.glob("README.*.md"))
PAGES = [page for page in PAGES if page not in TRANSLATED]  # their commands are README's
QUICK = """\
trainer: {max_epochs: 1, limit_train_batches: 5, limit_val_batches: 1, limit_test_batches: 1}
data: {batch_size: 8, eval_batch_size: 8, num_workers: 0}
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(info, text) of each fenced block, in order."""
    return re.findall(r"^```(\S+(?: \S+)?)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    lines = (line.partition("  #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture
def project(tmp_path):
    """A copy of the project with small pictures, and limits in the place for a machine's own settings.

    Data of other kinds comes from `fill(folder)` of the files page_data_<kind>.py.
    """
    for name in ("src", "configs", "tools"):  # with what is compiled, as the commands of one page share it
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "configs/local/default.yaml").write_text(QUICK)
    for folder, channels in (("photos", "RGB"), ("data/shapes", "L")):
        for shape in ("circle", "square"):
            (tmp_path / folder / shape).mkdir(parents=True)
            for i in range(24):
                pixels = torch.randint(256, (40, 40, 3), dtype=torch.uint8).numpy()
                Image.fromarray(pixels).convert(channels).save(tmp_path / folder / shape / f"{i}.png")
    for file in sorted((ROOT / "tests/support").glob("page_data_*.py")):
        importlib.import_module(file.stem).fill(tmp_path)
    _competition(tmp_path / "data/kaggle_cifar10")
    return tmp_path


def _competition(root: Path) -> None:
    """Kaggle's CIFAR-10 with 100 images, 10 of a class."""
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        for i in range(100):
            pixels = torch.randint(256, (32, 32, 3), dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(root / split / f"{i}.png")
    rows = [f"{i},{chr(97 + i % 10)}" for i in range(100)]
    (root / "trainLabels.csv").write_text("\n".join(["id,label", *rows]) + "\n")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_the_page_work_as_written(page, project):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LIGHTLOOM_")}
    environment |= {
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    for info, text in blocks(page):
        if "file=" in info:
            path = project / info.partition("file=")[2]
            path.write_text(text, encoding="utf-8")
        elif info == "bash":
            for command in commands(text):
                code, said = execute(command, project, environment)
                assert code == 0, f"{command}\n{said}"
                assert "error:" not in said, f"{command}\n{said}"
    assert not (ROOT / "logs/runs/lenet-shapes").exists()


def execute(command: str, project: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output. Entry points start as forks of a server; of make, what it would do."""
    if command.startswith("python src/"):
        script, *arguments = shlex.split(command)[1:]
        own = environment | {"LIGHTLOOM_LOG_DIR": str(project / "logs"), "LIGHTLOOM_DATA_DIR": str(project / "data")}
        name = Path(script).stem
        started = processes.start(project / "said", *arguments, script=name, env=own, cwd=project, root=project)
        return started.wait(), started.text
    dry = "make -n" + command.removeprefix("make") if command.startswith("make ") else command
    done = subprocess.run(dry, shell=True, cwd=project, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.stem)
def test_a_translated_page_has_the_same_commands(page):
    own, others = ([(info, commands(text)) for info, text in blocks(p)] for p in (ROOT / "README.md", page))
    assert [block for block in own if block[0] == "bash"] == others


def test_the_lock_has_no_address():
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
