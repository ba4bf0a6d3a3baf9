"""The same command, repeated: it continues, says that it is done, or says why it must not go on. Nothing is lost."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run, start
from conftest import compose
from resumable import differences, rows, saved_state

from lightloom.cli.launch import prepared
from lightloom.config import compose as config
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.core.run_dir import figures, recorded_overrides
from lightloom.engine import checkpoint, resume
from lightloom.engine.resume import check_same

MLP = ("model=mlp", "data.batch_size=200", "trainer.max_epochs=4", "callbacks.checkpoint.every_n_steps=3", "logger=csv")
NAMED = (*MLP, "run_name=first")


def ended(logs: Path, *options: str, code: int = 2) -> str:
    command = start(logs, *options)
    assert command.wait() == code, command.text
    assert "Traceback (most" not in command.text
    return command.text


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


def killed(logs: Path, run_folder: Path, *options: str, step: int = 9) -> None:
    """Start the command, and SIGKILL it once last.ckpt is at `step` or later."""
    command = start(logs, *options)
    last = run_folder / "checkpoints" / "last.ckpt"
    command.wait_until(lambda: last.exists() and checkpoint.load(last)["global_step"] >= step)
    os.kill(command.pid, signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but its log and its lock, which a refused command may write to."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in ("run.log", "run.lock"))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """The folder of a finished run."""
    logs = tmp_path_factory.mktemp("uninterrupted")
    run(logs, *NAMED)
    return logs / "runs" / "first"


@pytest.fixture
def finished(tmp_path, uninterrupted) -> Path:
    """A copy of the finished run, in logs of its own."""
    return Path(shutil.copytree(uninterrupted, tmp_path / "runs" / "first"))


def test_killed_and_repeated_it_is_the_run_that_was_not_killed(tmp_path, uninterrupted):
    folder = tmp_path / "runs" / "first"
    killed(tmp_path, folder, *NAMED)
    assert not (folder / "results.json").exists()
    output = run(tmp_path, *NAMED, "data.num_workers=2")  # how it is loaded may change
    assert f"Resuming from {folder}/checkpoints/last.ckpt" in output
    assert not differences(saved_state(uninterrupted), saved_state(folder))
    assert rows(folder / "metrics.csv") == rows(uninterrupted / "metrics.csv")
    measured = [figures(f) for f in (folder, uninterrupted)]
    assert [{**m, "train_seconds": 0} for m in measured] == [{**measured[0], "train_seconds": 0}] * 2
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["first"]
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt"]


def test_finished_it_says_so_in_one_line_and_nothing_changes(tmp_path, finished):
    before = content(finished)
    output = run(tmp_path, *NAMED)
    said = [line for line in output.splitlines() if not line.startswith("Data digits: ")]
    assert said == [f"This run is finished (4 epochs, 24 steps): nothing to train. Results: {finished}"]
    assert content(finished) == before


def test_a_finished_run_is_made_longer_and_not_shorter(tmp_path, finished):
    assert "trainer.max_epochs=3" in errors(ended(tmp_path, *NAMED, "trainer.max_epochs=3"))[0]
    output = run(tmp_path, *NAMED, "trainer.max_epochs=5")
    assert "trainer.max_epochs: 4 -> 5" in output
    assert "epoch 5/5" in output
    assert "epoch 4/5" not in output
    assert "trainer.max_epochs=5" in recorded_overrides(finished)


def test_killed_before_its_first_checkpoint_it_begins_anew(tmp_path, uninterrupted):
    """The log of the first attempt is void."""
    folder = tmp_path / "runs" / "first"
    shutil.copytree(uninterrupted, folder)
    shutil.rmtree(folder / "checkpoints")
    run(tmp_path, *NAMED)
    assert not differences(saved_state(uninterrupted), saved_state(folder))
    assert rows(folder / "metrics.csv") == rows(uninterrupted / "metrics.csv")


def test_a_run_without_a_name_is_a_new_one(tmp_path):
    short = (*MLP, "trainer.max_epochs=1", "test=false")
    run(tmp_path, *short)
    run(tmp_path, *short)
    assert len([*tmp_path.glob("runs/mlp-digits/*/checkpoints/last.ckpt")]) == 2


def test_never_refuses_and_must_needs_something(tmp_path, finished):
    before = content(finished)
    (error,) = errors(ended(tmp_path, *NAMED, "resume=never"))
    assert "holds a run already" in error
    assert "run_name" in error
    assert content(finished) == before
    (error,) = errors(ended(tmp_path, *MLP, "run_name=second", "resume=must"))
    assert "has no checkpoint to continue from" in error


@pytest.mark.parametrize("name", ["", "null", "../first", "/first", "a/../../b"])
def test_a_name_is_a_folder_of_its_own(tmp_path, name):
    with pytest.raises(UserError, match="expected a name"):
        prepared([*MLP, f"run_name={name}", f"paths.log_dir={tmp_path}"], "train")
    assert not [*tmp_path.iterdir()]


# --- damaged checkpoints


def damage(path: Path) -> None:
    """Turn over a bit in the middle, in a new file: best.ckpt may be another name of the old one."""
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.unlink()
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("damaged", "used"), [(["last"], "best"), (["last", "best"], "previous")], ids=["last", "last and best"]
)
def test_a_damaged_checkpoint_is_skipped_with_a_word(tmp_path, uninterrupted, finished, damaged, used):
    """The newest of the whole ones takes the name of the last."""
    where = finished / "checkpoints"
    for name in damaged:
        damage(where / f"{name}.ckpt")
    output = run(tmp_path, *NAMED)
    for name in damaged:
        (line,) = [line for line in output.splitlines() if f"{name}.ckpt is damaged" in line]
        assert f"continuing from {where / used}.ckpt" in line
    assert not differences(saved_state(uninterrupted), saved_state(finished))
    assert (where / "damaged-last.ckpt").exists()
    checkpoint.load(where / "previous.ckpt")


def test_where_none_is_whole_nothing_is_overwritten(tmp_path, finished):
    for path in (finished / "checkpoints").iterdir():
        damage(path)
    before = content(finished)
    (error,) = errors(ended(tmp_path, *NAMED))
    assert "no whole checkpoint" in error
    assert content(finished) == before


# --- another configuration


CHANGES = {
    "model.optimizer.lr=0.5": "model.optimizer.lr: 0.001 -> 0.5",
    "data.batch_size=100": "data.batch_size: 32 -> 100",
    "seed=7": "options: seed: 0 -> 7.",  # said once, though it stands in four places
    "optimizer=sgd": "model.optimizer._target_: torch.optim.AdamW -> torch.optim.SGD",
    "data.num_classes=12": "data.num_classes: 10 -> 12.",
    "model=lenet": "model.network._target_: lightloom.networks.mlp.MLP -> lightloom.networks.lenet.LeNet",
    "callbacks=ema": "callbacks.ema._target_: null -> ",
    "data.augment.mixup=0.2": "data.augment.mixup: 0.0 -> 0.2",
    "trainer.precision=bf16-mixed": "trainer.precision: 32-true -> bf16-mixed",
    "trainer.accumulate_grad_batches=2": "trainer.accumulate_grad_batches: 1 -> 2",
    "monitor.metric=val/loss": "monitor.metric: val/acc -> val/loss",
}
HARMLESS = [
    "trainer.max_epochs=9",
    "trainer.max_steps=900",
    "data.num_workers=4",
    "paths.data_dir=/elsewhere",
    "logger=csv",
    "callbacks.checkpoint.every_n_minutes=1",
    "trainer.log_every_n_steps=1",
    "run_name=second",
    "resume=must",
    "test=false",
]


def options(*overrides: str) -> dict[str, Any]:
    return plain(config.without_hydra(compose("model=mlp", *overrides)))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_option_is_shown_and_refused(change):
    with pytest.raises(UserError) as refused:
        check_same(options(), options(change), Path("last.ckpt"))
    assert CHANGES[change] in str(refused.value)
    assert "weights_only_init=true" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", HARMLESS)
def test_what_does_not_matter_to_training_may_change(change, caplog):
    check_same(options(), options(change), Path("last.ckpt"))
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("change", ["trainer=ddp_cpu", "trainer.devices=4", "model.compile=true", "trainer=gpu"])
def test_what_only_rounds_differently_is_said(change, caplog):
    check_same(options(), options(change), Path("last.ckpt"))
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert "no longer bit for bit" in record.getMessage()


def test_differences_are_found_in_both_directions():
    """Lists, values that are absent, and numbers that are equal though written otherwise."""
    old = {"a": {"x": 1, "y": [1, 2]}, "b": None, "c": 1.0, "only": {"before": 3}, "same": (1,)}
    new = {"a": {"x": 1, "y": [1, 3]}, "b": 2, "c": 1, "same": [1]}
    changes = [("b", None, 2), ("a.y", [1, 2], [1, 3]), ("only.before", 3, None)]
    assert resume.differences(old, new) == changes
    assert resume.differences(new, old) == [(key, now, was) for key, was, now in changes]


def test_a_harmless_change_hides_no_other():
    """One value that stands in two places, of which one matters, is judged in both and told once."""
    old = {"callbacks": {"samples": {"n": 1}}, "model": {"deep": {"er": {"n": 1}}}}
    new = {"callbacks": {"samples": {"n": 2}}, "model": {"deep": {"er": {"n": 2}}}}
    changes = resume.differences(old, new)
    assert [key for key, *_ in changes] == ["callbacks.samples.n", "model.deep.er.n"]
    assert resume.distinct(changes) == changes[:1]


def test_the_same_command_with_another_option_is_refused(tmp_path, finished):
    """By its run_name or by ckpt_path."""
    before = content(finished)
    for command in ((*NAMED, "model.optimizer.lr=0.5"), ("ckpt_path=last", "model.optimizer.lr=0.5")):
        (error,) = errors(ended(tmp_path, *command))
        assert "model.optimizer.lr: 0.001 -> 0.5" in error
    assert content(finished) == before


def test_a_new_run_begins_with_the_weights_of_another(tmp_path, finished):
    """Everything else is fresh: steps, epochs, optimizer, log, folder. Repeated, it continues itself."""
    before = content(finished)
    tuned = ("ckpt_path=last", "weights_only_init=true", "model.optimizer.lr=1e-9", "trainer.max_epochs=1")
    output = run(tmp_path, *tuned, "run_name=tuned")
    assert f"Beginning with the weights of {finished}/checkpoints/last.ckpt" in output
    first, second = (checkpoint.load(tmp_path / f"runs/{n}/checkpoints/last.ckpt") for n in ("first", "tuned"))
    assert (second["global_step"], second["optimizer_states"][0]["state"][0]["step"]) == (6, 6)
    for name, weights in first["state_dict"].items():
        torch.testing.assert_close(second["state_dict"][name], weights, rtol=0, atol=1e-6)
    assert content(finished) == before
    assert "is finished" in run(tmp_path, *tuned, "run_name=tuned")
    (error,) = errors(ended(tmp_path, *MLP, "weights_only_init=true"))
    assert "ckpt_path" in error


def test_weights_that_do_not_fit_are_one_message(tmp_path, finished):
    options = ("ckpt_path=last", "weights_only_init=true", "model.network.hidden=[5]", "run_name=narrow")
    (error,) = errors(ended(tmp_path, *options))
    assert "of another shape, first network." in error


# --- two at once


def test_two_at_once_are_refused_and_the_first_goes_on(tmp_path):
    long = (*NAMED, "trainer.max_epochs=10000", "scheduler=constant")
    first = start(tmp_path, *long)
    first.wait_until(lambda: "epoch 1/" in first.text)
    (error,) = errors(ended(tmp_path, *long))
    assert re.search(rf"in use by process {first.pid} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d", error)
    assert first.process.exitcode is None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()


# --- two processes


DDP = (*NAMED, "trainer=ddp_cpu", "trainer.max_epochs=2", "data.val_fraction=0.13", "test=false")


def test_ddp_killed_and_repeated_is_bit_for_bit_the_same(tmp_path):
    """SIGKILL of the launcher, which is rank 0; last.ckpt of the kill is damaged, so that rank 0 has to choose."""
    run(tmp_path / "full", *DDP)
    folder = tmp_path / "part/runs/first"
    killed(tmp_path / "part", folder, *DDP, step=6)
    damage(folder / "checkpoints" / "last.ckpt")
    output = run(tmp_path / "part", *DDP)
    assert output.count("Resuming from") == 1
    assert "last.ckpt is damaged" in output
    assert "saved " in (folder / "run.log").read_text()
    assert "saved " not in (folder / "run-rank1.log").read_text()  # only rank 0 writes
    assert not differences(saved_state(tmp_path / "full/runs/first"), saved_state(folder))
    assert rows(folder / "metrics.csv") == rows(tmp_path / "full/runs/first/metrics.csv")


def test_its_results_name_the_metric_the_best_checkpoint_and_the_folder(uninterrupted):
    found = json.loads((uninterrupted / "results.json").read_text())
    assert f"best {found['monitor']}" in found
    assert found["best_checkpoint"] == str(uninterrupted / "checkpoints" / "best.ckpt")
    assert found["run_folder"] == str(uninterrupted)


def test_without_a_keeper_of_checkpoints_one_line_says_what_is_lost(tmp_path):
    named = [option for option in NAMED if not option.startswith("callbacks.")]
    output = run(tmp_path, *named, "callbacks=null", "trainer.max_epochs=1", "test=false")
    assert output.count("No checkpoint is kept, so this run can be neither resumed nor used") == 1
    assert json.loads((tmp_path / "runs/first/results.json").read_text())["best_checkpoint"] is None
