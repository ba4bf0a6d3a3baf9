"""run.json tells one state of data and code from another."""

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path

import commands
import pytest
import torch

from lightloom.core.redaction import redact, redact_options
from lightloom.data import identity
from lightloom.data.boxes.scenes import DigitScenes
from lightloom.data.boxes.writers import Boxes, write_yolo
from lightloom.data.boxes.yolo import Yolo
from lightloom.data.identity import describe_split
from lightloom.data.images.readers import Split
from lightloom.engine import record
from lightloom.ops.images.grid import write_png


def memory(change: int | None = None, label: int = 0) -> Split:
    images = torch.arange(6 * 4, dtype=torch.uint8).view(6, 1, 2, 2)
    if change is not None:
        images.view(-1)[change] += 1
    return Split(images=images, labels=torch.tensor([label, 1, 2, 3, 4, 5]))


def test_a_fingerprint_is_of_every_value_and_label():
    same = describe_split(memory())
    assert same == describe_split(memory())
    assert same["count"] == 6
    others = [describe_split(memory(change))["sha256"] for change in range(24)]
    others.append(describe_split(memory(label=9))["sha256"])
    assert len({same["sha256"], *others}) == 26


def test_of_a_large_split_a_share_is_looked_at_and_said(monkeypatch):
    monkeypatch.setattr(identity, "MOST_BYTES", 8)
    told = describe_split(memory())
    assert told["of"] == "values of 2 of 6 items and all labels"
    assert describe_split(memory(change=0)) != told  # of image 0
    assert describe_split(memory(change=4)) == told  # of image 1


def test_a_fingerprint_of_files_is_of_names_and_sizes(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(bytes(i + 1))

    def told() -> str:
        return describe_split(Split(paths=sorted(tmp_path.iterdir()), labels=torch.arange(3)))["sha256"]

    first = told()
    (tmp_path / "0.png").write_bytes(bytes(9))
    second = told()
    (tmp_path / "0.png").rename(tmp_path / "00.png")
    assert len({first, second, told()}) == 3


def test_a_fingerprint_of_boxes_is_of_boxes(tmp_path):
    scenes = DigitScenes(64, train_size=4).read("train")
    names = [f"{name}.png" for name in scenes.names]
    for i, name in enumerate(names):
        write_png(tmp_path / "images" / name, scenes[i][0])

    def told(labels) -> dict:
        boxes = [Boxes(n, (64, 64), t["boxes"], labels(t)) for n, (_, t) in zip(names, scenes, strict=False)]
        write_yolo(tmp_path, boxes, [str(i) for i in range(10)])
        return describe_split(Yolo(str(tmp_path)).read("train"))

    first, other = told(lambda t: t["labels"]), told(lambda t: t["labels"] % 10 + 1)
    assert first["of"] == "names of images and their boxes"
    assert first["sha256"] != other["sha256"]


def git(where: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", "-C", str(where), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_the_state_of_the_code_is_its_commit_and_its_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "ROOT", tmp_path)
    assert record.git() is None
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "a")
    clean = record.git()
    assert clean == {
        "commit": git(tmp_path, "rev-parse", "HEAD").strip(), "branch": "main", "changed": 0, "diff_sha256": None,
    }  # fmt: skip
    states = []
    for text in ("2\n", "3\n"):
        (tmp_path / "a.py").write_text(text)
        states.append(record.git())
    assert [s["changed"] for s in states] == [1, 1]
    assert len({s["diff_sha256"] for s in states}) == 2


def test_each_start_is_recorded_with_where_it_began(tmp_path):
    small = ("trainer=cpu", "trainer.limit_train_batches=2", "preflight=false", "model=mlp", "data=digits")
    first = [*small, "run_name=first", "trainer.max_epochs=1"]
    commands.run(tmp_path, *first)
    where = tmp_path / "runs/first"
    commands.run(tmp_path, f"ckpt_path={where}", "trainer.max_epochs=2")
    begun, continued = record.starts_of(where)
    assert begun["origin"] is None
    assert (continued["origin"]["step"], continued["origin"]["weights_only"]) == (2, False)
    assert continued["origin"]["changed"] == [["trainer.max_epochs", 1, 2]]
    assert begun["command"] == "python src/train.py " + " ".join([first[0], *first[1:]])
    assert set(begun["data"]["splits"]) == {"train", "val", "test"}
    assert begun["data"] == continued["data"]
    assert begun["parameters"] == sum(
        v.numel() for k, v in torch.load(where / "checkpoints/last.ckpt")["state_dict"].items() if "network" in k
    )
    results = json.loads((where / "results.json").read_text())
    assert begun["train_seconds"] + continued["train_seconds"] == pytest.approx(results["train_seconds"], abs=0.02)
    page = (where / "report.html").read_text()
    assert "The run was continued 1 time, with other options than it began with" in page
    assert "<code>trainer.max_epochs</code> was 1" in page


def test_a_start_that_was_killed_counts_until_its_last_checkpoint(tmp_path):
    """It could not write down how long it had trained."""
    last = tmp_path / "checkpoints/last.ckpt"
    last.parent.mkdir()
    last.touch()
    os.utime(last, (1_000_042, 1_000_042))
    time = datetime.fromtimestamp(1_000_000).astimezone().strftime(record.TIME)
    begun, continued = {"time": time, "origin": None}, {"time": time, "origin": {"weights_only": False}}
    assert record._timed(tmp_path, [begun])[0]["train_seconds"] == 42
    ended = {**begun, "train_seconds": 7.0}
    assert record._timed(tmp_path, [ended]) == [ended]
    record.write(tmp_path, [{**begun, "train_seconds": 100.0}, ended, {**continued, "train_seconds": 3.0}, continued])
    assert record.seconds_before(tmp_path) == 10  # of those since the run last began anew


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("trainer.max_epochs=100000", "trainer.max_time=00:00:00:01"), "max_time"),
        (("trainer.max_epochs=9", "trainer.max_steps=3"), "max_steps"),
        (("trainer.max_epochs=9", "callbacks=early_stopping", "callbacks.early_stopping.patience=1",
          "model.optimizer.lr=1e-9"), "early stopping on val/acc"),
        (("trainer.max_epochs=1",), None),
    ],
)  # fmt: skip
def test_what_ended_a_run_is_said(tmp_path, options, said):
    small = ("trainer=cpu", "trainer.limit_train_batches=2", "preflight=false", "model=mlp", "data=digits")
    commands.run(tmp_path, *small, *options, "run_name=ended")
    where = tmp_path / "runs/ended"
    assert record.starts_of(where)[-1]["stopped_by"] == said
    assert (f", stopped by {said}." in (where / "run.log").read_text()) == (said is not None)


def test_a_record_that_fails_is_a_warning(tmp_path, caplog):
    (tmp_path / "run.json").mkdir()
    record.write_failed = record.optional("run.json")(lambda: record.write(tmp_path, []))  # type: ignore[attr-defined]
    record.write_failed()
    assert "run.json could not be written (IsADirectoryError" in caplog.text


@pytest.mark.parametrize("argv", [["src/train.py", "model=a", "hydra.run.dir='x y'", "ckpt_path='z'", "data.root=a b"]])
def test_the_command_is_one_that_a_shell_takes(argv):
    assert record.command(argv) == "python src/train.py model=a 'data.root=a b'"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("logger.mlflow.tracking_uri=http://me:pw@host/x", "logger.mlflow.tracking_uri=http://***@host/x"),
        ("api_key: abc", "api_key: ***"),
        ("+logger.wandb.api_key=abc", "+logger.wandb.api_key=***"),
        ("token: null", "token: null"),
        ("model.network.num_tokens=5", "model.network.num_tokens=5"),
        ("data.root=http://host/x@y", "data.root=http://host/x@y"),
    ],
)
def test_what_is_secret_is_not_handed_on(given: str, shown: str):
    assert redact(given) == shown


def test_options_keep_their_form_without_their_secrets():
    options = {"logger": {"uri": "sqlite://me:pw@host/a=b", "api_key": "abc", "sizes": [1, 2]}, "seed": 0}
    shown = {"logger": {"uri": "sqlite://***@host/a=b", "api_key": "***", "sizes": [1, 2]}, "seed": 0}
    assert redact_options(options) == shown
