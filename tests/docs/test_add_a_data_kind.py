"""docs/add-a-data-kind.md, followed to the letter in a copy of the project: three kinds of data, and no edit.

Takes longer than 5 s, about 40 on a core of its own: 19 commands, each a process that imports the copy, train, are
killed in mid-epoch, continue, evaluate, predict and export.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import commands as processes
import pytest
from conftest import ROOT, real
from interruptions import HERE, TOLD, differences, saved

PAGE = ROOT / "docs/add-a-data-kind.md"
TOP, TEXT, GRAPHS, SHAPES = "Add a kind of data", "Characters", "Nodes of a graph", "Shapes, pixel by pixel"
FILE = re.compile(r"(?:# @package \S+\n)?# ([\w./]+\.(?:py|yaml))\n")
LIGHTNINGS = re.compile(r"WARNING py\.warnings: \S*/pytorch_lightning/")  # about its own code, and its logging interval
FOUND = ("Traceback (most", "could not be written")


@dataclass(frozen=True)
class Block:
    """A fenced block of the page. file: what it names in its first lines, if it is one."""

    section: str
    info: str
    text: str
    file: str | None


def blocks() -> list[Block]:
    found, section = [], ""
    fenced = r"^#{1,2} (?P<title>[^\n:]+)|^```(?P<info>\w+)\n(?P<text>.*?)^```"
    for match in re.finditer(fenced, PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        section = match["title"] or section
        if match["info"]:
            named = FILE.match(match["text"]) if match["info"] != "bash" else None
            found.append(Block(section, match["info"], match["text"], named and named[1]))
    return found


def digests(root: Path) -> dict[str, str]:
    """Of all files but what commands write."""
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    shown = {path.relative_to(root).as_posix(): path for path in files}
    ignored = ("logs/", "data/", "said/")
    return {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in shown.items() if not n.startswith(ignored)}


class Project:
    """A copy of the project in which the page's blocks are followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("src", "configs", "docs"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.egg-info"))
        shutil.copy(ROOT / "README.md", root)
        shutil.rmtree(root / "configs/local", ignore_errors=True)
        self.before = digests(root)
        self.written: set[str] = set()

    def write(self) -> None:
        for block in blocks():
            if block.file is not None:
                path = self.root / block.file
                assert not path.exists(), f"{block.file} is there already"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
                self.written.add(block.file)

    def follow(self, section: str) -> dict[str, str]:
        """Run the commands of a section as they stand there: what each of ours said."""
        lines = [line for b in blocks() if (b.section, b.info) == (section, "bash") for line in b.text.splitlines()]
        said = {}
        for line in lines:
            if line.startswith("python src/"):
                code, said[line] = self.run(line)
                assert code == 0, f"{line}\n{said[line]}"
            else:
                words = f"'{sys.executable}'{line.removeprefix('python')}" if line.startswith("python ") else line
                subprocess.run(["bash", "-c", words], cwd=self.root, check=True)
        return said

    def run(self, line: str, *more: str, told: str = "") -> tuple[int, str]:
        """Exit code and output of a command of ours."""
        script, *arguments = shlex.split(line.removeprefix("python src/"))
        folders = {f"LIGHTLOOM_{name.upper()}_DIR": str(self.root / folder) for name, folder in FOLDERS.items()}
        environment = {**HERE, **folders, TOLD: told or "0 never 0 0 0", "CUDA_VISIBLE_DEVICES": ""}
        started = processes.start(
            self.root / "said",
            *arguments,
            *more,
            script=Path(script).stem,
            env=environment,
            cwd=self.root,
            root=self.root,
        )
        return started.wait(), started.text

    def folder(self, name: str) -> Path:
        return self.root / "logs/runs" / name

    def newest(self, kind: str) -> Path:
        """The folder of the latest command of that kind."""
        return max((self.root / "logs" / kind).iterdir())


FOLDERS = {"data": "data", "log": "logs"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    made = Project(tmp_path_factory.mktemp("project"))
    made.write()
    made.follow(TOP)
    return made


def check_whole(project: Project, run: str, *, example: str) -> None:
    """Report, card and record are there, and the log has no warning of ours."""
    folder = project.folder(run)
    log = (folder / "run.log").read_text(encoding="utf-8")
    warned = [line for line in log.splitlines() if " WARNING " in line and not LIGHTNINGS.search(line)]
    assert warned == []
    assert not [words for words in FOUND if words in log]
    card, report = ((folder / name).read_text(encoding="utf-8") for name in ("README.md", "report.html"))
    splits = json.loads((folder / "run.json").read_text())["starts"][0]["data"]["splits"]
    assert splits.keys() == {"train", "val", "test"}
    for split in splits.values():
        assert split["sha256"][:16] in card
        assert split["sha256"][:16] in report
    assert f"ckpt_path=<this folder> {example}" in card if example else "src/predict.py" not in card
    assert "test/" in card


def check_resumed(project: Project, line: str, run: str, batch: int) -> None:
    """Killed before a batch, with the last checkpoint some batches behind, and continued: the same bits."""
    again = line.replace(f"run_name={run}", f"run_name={run}_killed")
    options = ("+callbacks.told={_target_: interruptions.Told}", "callbacks.checkpoint.every_n_steps=4")
    code, said = project.run(again, *options, told=f"{int(signal.SIGKILL)} train {batch} 0 1")
    assert code == -signal.SIGKILL, said
    code, said = project.run(again, *options)
    assert (code, "Resuming from" in said) == (0, True), said
    whole, resumed = (saved(project.folder(name)) for name in (run, f"{run}_killed"))
    kept = ("state_dict", "optimizer_states", "global_step", "training_means")
    assert [place for key in kept for place in differences(whole[key], resumed[key], key)] == []


def line_with(said: dict[str, str], *words: str) -> str:
    (line,) = (line for line in said if all(word in line for word in words))
    return line


def test_a_character_lstm(project):
    said = project.follow(TEXT)
    check_whole(project, "writer", example="prompt='To '")
    check_resumed(project, line_with(said, "train.py"), "writer", 27)
    config = (project.folder("writer") / "config.yaml").read_text(encoding="utf-8")
    assert re.search(r"state_sha256: [0-9a-f]{64}", config)
    assert "vocabulary" not in config
    evaluated = said[line_with(said, "eval.py")]
    assert "writer on the test split of readme" in evaluated  # encoded by the vocabulary that the checkpoint holds
    asked = line_with(said, "predict.py", "prompt=")
    first = (sorted((project.root / "logs/predict").iterdir())[0] / "written.txt").read_text(encoding="utf-8")
    assert first.startswith("To train ")
    project.run(asked)
    assert (project.newest("predict") / "written.txt").read_text(encoding="utf-8") == first
    project.run(asked.replace("seed=1", "seed=2"))
    assert (project.newest("predict") / "written.txt").read_text(encoding="utf-8") != first
    assert "Largest difference to the model" in said[line_with(said, "export.py")]
    check_untouched(project)


def test_a_gcn(project):
    said = project.follow(GRAPHS)
    check_whole(project, "nodes", example="")
    check_resumed(project, line_with(said, "train.py"), "nodes", 43)
    assert accuracy(project.folder("nodes")) > 0.7
    rows = list(csv.DictReader((project.newest("predict") / "predictions.csv").open()))
    assert len(rows) == 100
    assert all(1 / 3 <= float(row["probability"]) <= 1 for row in rows)
    code, text = project.run("python src/export.py ckpt_path=logs/runs/nodes")
    refused = [line for line in text.splitlines() if line.startswith("error: ")]
    assert (code, len(refused)) == (2, 1), text
    assert "nodes: TinyGCN, trained on data of kind vertices, does none of what export.py records" in refused[0]
    code, text = project.run("python src/eval.py ckpt_path=logs/runs/nodes data=discs")
    assert (
        code,
        "data=discs has kind shapes, but the checkpoint was trained on blocks with kind vertices" in text,
    ) == (
        2,
        True,
    )
    check_untouched(project)


def test_a_u_net(project):
    said = project.follow(SHAPES)
    check_whole(project, "pixels", example="")
    check_resumed(project, line_with(said, "train.py"), "pixels", 13)
    results = json.loads((project.folder("pixels") / "results.json").read_text())
    assert results["test/iou"] > 0.5
    assert "pixels on the test split of noisy_discs" in said[line_with(said, "eval.py")]
    assert (project.newest("predict") / "masks/growth.png").is_file()
    assert "Largest difference to the model" in said[line_with(said, "export.py")]
    assert (project.folder("pixels") / "export/pixels.onnx").is_file()
    check_untouched(project)


def check_untouched(project: Project) -> None:
    """Every file of the project is as it was; what is new is what the page says to write."""
    now = digests(project.root)
    assert {name for name in project.before if now.get(name) != project.before[name]} == set()
    new = {name for name in now.keys() - project.before.keys() if not name.endswith("__init__.py")}
    assert new == project.written


def accuracy(run: Path) -> float:
    return json.loads((run / "results.json").read_text())["test/acc"]


def test_a_gcn_on_cora(project):
    """81.5 % in the paper, a mean over 100 draws of weights; here one."""
    (project.root / "data/graph").mkdir(parents=True, exist_ok=True)
    (project.root / "data/graph/cora.npz").symlink_to(real("graph/cora.npz"))
    code, said = project.run("python src/train.py experiment=tiny_gcn_citations run_name=cora")
    assert code == 0, said
    assert 0.79 < accuracy(project.folder("cora")) < 0.84
