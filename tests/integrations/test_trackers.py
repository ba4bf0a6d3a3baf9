"""A run is one entry in a tracker, however often it is continued: no step twice, none missing, pictures too."""

from __future__ import annotations

import csv
import importlib.util
import json
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import names
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from lightloom.core.errors import UserError
from lightloom.integrations.trackers import MLflowTracker, SwanLabTracker, Tracker, TrackioTracker, WandbTracker

KINDS = {kind.kind: kind for kind in (WandbTracker, MLflowTracker, SwanLabTracker, TrackioTracker)}
INSTALLED = [kind for kind, tracker in KINDS.items() if all(map(importlib.util.find_spec, tracker.libraries))]
PICTURE = Image.new("RGB", (4, 4), (200, 0, 0))


class Told(Tracker):
    """Keeps what it is told to write."""

    kind, libraries = "told", ()

    def open(self) -> Any:
        self._named()
        return []

    def write(self, values, step):
        self._run += [(name, step, value) for name, value in values.items()]

    def write_image(self, name, image, step):
        self._run.append((name, step, image))

    def where(self):
        return "here"

    def close(self, succeeded):
        self.closed = succeeded


def told(folder: Path) -> Told:
    return Told(str(folder), "project", "run")


# --- what a continued run logs


def test_a_continued_run_logs_no_step_twice_and_leaves_none_out(tmp_path):
    first, second = told(tmp_path), told(tmp_path)
    for step in range(6):
        first.log_metrics({"loss": step / 10}, step)
    first.log_image("samples", [PICTURE], 5)
    second = told(tmp_path)
    second.continue_from(3)
    for step in range(3, 9):
        second.log_metrics({"loss": step / 10, "acc": 1.0}, step)
    for step in (5, 8):
        second.log_image("samples", [PICTURE], step)
    both = [*first.experiment, *second.experiment]
    assert [(step, value) for name, step, value in both if name == "loss"] == [(i, i / 10) for i in range(9)]
    assert [step for name, step, _ in both if name == "acc"] == [3, 4, 5, 6, 7, 8]
    assert [step for name, step, _ in both if name == "samples"] == [5, 8]
    assert first.id == second.id is not None


def test_a_run_that_begins_anew_has_another_name(tmp_path):
    first = told(tmp_path)
    first.log_metrics({"loss": 1.0}, 0)
    second = told(tmp_path)
    second.continue_from(0)
    second.log_metrics({"loss": 1.0}, 0)
    assert second.id != first.id
    assert second.experiment == [("loss", 0, 1.0)]


def test_only_rank_zero_logs(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    tracker = told(tmp_path)
    tracker.log_hyperparams({"lr": 1})
    tracker.log_metrics({"loss": 1.0}, 0)
    tracker.log_image("samples", [PICTURE], 0)
    tracker.finish()
    assert tracker.experiment is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("status", "closed"), [("success", None), ("failed", False)])
def test_a_run_stays_open_for_its_test_unless_it_failed(tmp_path, status, closed):
    tracker = told(tmp_path)
    tracker.log_metrics({"loss": 1.0}, 0)
    tracker.finalize(status)
    assert getattr(tracker, "closed", None) is closed


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_library_is_one_sentence(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    places = {"mlflow": ("sqlite:///x", None), "trackio": ("x",)}.get(kind, ())
    with pytest.raises(UserError, match=rf'^logger={kind} needs .*: \.venv/bin/uv pip install -e "\.\[{kind}\]"\.$'):
        KINDS[kind](str(tmp_path), "project", "run", *places)


def test_each_tracker_has_a_logger_of_its_name():
    assert set(KINDS) <= set(names("logger"))


# --- real runs: two epochs, continued for a third


@pytest.fixture(scope="module")
def continued(tmp_path_factory) -> Path:
    """The logs of a run with each tracker that is installed."""
    logs = tmp_path_factory.mktemp("logs")
    short = ("model=mlp", "model.network.hidden=[4]", "trainer=cpu", "trainer.limit_train_batches=2", "run_name=run")
    loggers = f"logger=[{','.join(INSTALLED)}]"
    first = commands.run(logs, *short, loggers, "trainer.max_epochs=2", "scheduler=constant")
    second = commands.run(logs, f"ckpt_path={logs}/runs/run", "trainer.max_epochs=3")
    (logs / "said.txt").write_text(first + second)
    return logs


def logged(logs: Path) -> dict[str, dict[int, float]]:
    """metric -> step -> value, as metrics.csv has them."""
    found: dict[str, dict[int, float]] = {}
    with (logs / "runs/run/metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and "/" in name:
                    found.setdefault(name, {})[int(row["step"])] = float(value)
    return found


def assert_same_curves(rows: list[tuple[str, int, float]], expected: dict[str, dict[int, float]]) -> None:
    """Training and validation once for each step; the test of the first part stands beside the second's."""
    curves: dict[str, dict[int, float]] = {}
    for name, step, value in rows:
        assert step not in curves.get(name, {}), f"{name} twice at step {step}"
        curves.setdefault(name, {})[step] = value
    assert set(curves) == set(expected)
    for name, values in expected.items():
        kept = {s: v for s, v in curves[name].items() if s in values} if name.startswith("test/") else curves[name]
        assert kept == pytest.approx(values, rel=1e-6), name


def needs(kind: str) -> None:
    if kind not in INSTALLED:
        pytest.skip(f"{kind} is not installed")  # reason: an extra that the lock leaves out


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: a header of 7 bytes, then LevelDB's log of blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(whole)
            whole = b""


def test_wandb_offline_has_the_run_once(continued):
    needs("wandb")
    files = sorted(continued.glob("runs/run/wandb/offline-run-*/*.wandb"))
    parts = [list(records(file)) for file in files]
    assert len(parts) == 2
    assert len({r.run.run_id for part in parts for r in part if r.HasField("run")}) == 1
    rows, pictures = [], []
    for record in (r for part in parts for r in part if r.HasField("history")):
        row = {tuple([i.key] if i.key else i.nested_key): json.loads(i.value_json) for i in record.history.item}
        rows += [(key[0], row[("step",)], v) for key, v in row.items() if len(key) == 1 and "/" in key[0]]
        pictures += [(key[0], row[("step",)]) for key, v in row.items() if key[1:] == ("path",)]
    assert_same_curves(rows, logged(continued))
    assert pictures == [("test/confusion_matrix", 4), ("test/confusion_matrix", 6)]
    options = {u.key or u.nested_key[0]: json.loads(u.value_json) for r in parts[1] for u in r.config.update}
    assert options["model"]["network"]["hidden"] == [4]
    assert options["trainer"]["max_epochs"] == 3


def test_mlflow_has_the_run_once(continued):
    needs("mlflow")
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{continued}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("lightloom").experiment_id])
    rows = [
        (name, metric.step, metric.value)
        for name in run.data.metrics
        if "/" in name
        for metric in client.get_metric_history(run.info.run_id, name)
    ]
    assert_same_curves(rows, logged(continued))
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert run.data.params["model.network.hidden"] == "[4]"
    assert run.data.params["trainer.max_epochs"] == "2"
    assert run.data.tags["continued.trainer.max_epochs"] == "3"
    pictures = [path.name for path in (continued / "mlflow").rglob("*.png")]
    assert sorted(name[: name.index("+timestamp")] for name in pictures) == [
        "test~confusion_matrix+step+4",
        "test~confusion_matrix+step+6",
    ]


def test_swanlab_has_the_run_once(continued):
    needs("swanlab")
    parts = sorted(continued.glob("runs/run/swanlab/run-*/*.swanlab"))
    assert len(parts) == 2
    assert len({part.name for part in parts}) == 1  # the run's name in the tracker
    pictures = [sorted(path.name[:3] for path in part.parent.glob("media/image/*.png")) for part in parts]
    assert pictures == [["004"], ["006"]]
    assert all(b"val/acc" in part.read_bytes() for part in parts)


def test_trackio_has_the_run_once(continued):
    needs("trackio")
    with sqlite3.connect(continued / "trackio/lightloom.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics").fetchall()
    assert len({name for name, _, _ in rows}) == 1
    values = [(k, step, v) for _, step, row in rows for k, v in json.loads(row).items() if "/" in k]
    pictures = [(name, step) for name, step, value in values if isinstance(value, dict)]
    assert pictures == [("test/confusion_matrix", 4), ("test/confusion_matrix", 6)]
    assert_same_curves([row for row in values if not isinstance(row[2], dict)], logged(continued))


def test_a_tracker_says_one_line(continued):
    lines = (continued / "said.txt").read_text().splitlines()
    for kind in INSTALLED:
        assert len([line for line in lines if line.lower().startswith(kind)]) == 2, kind  # one for each part of the run
    assert not [line for line in lines if "warn" in line.lower()]
