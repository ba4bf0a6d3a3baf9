"""A run is continued by its own config.yaml, whatever became of its experiment's file."""

import itertools
import json
import os
import shutil
import signal
from pathlib import Path

import commands
import interruptions
import pytest
import yaml
from resumable import rows, saved_state

from lightloom.cli import launch
from lightloom.config import compose
from lightloom.config.diff import differences
from lightloom.core.errors import UserError
from lightloom.core.run_dir import record_choices
from lightloom.engine import checkpoint
from lightloom.engine.recorded import as_it_was, check_recorded

EXPERIMENT = """# @package _global_
# Mine.
defaults:
  - override /model: mlp
  - override /data: digits
  - override /callbacks: early_stopping

tags: [a, "b c"]
trainer: {max_epochs: 7, gradient_clip_val: 0.5}
model: {network: {hidden: [8, 4]}, optimizer_groups: {lr_multipliers: {layers.0: 0.5}}}
callbacks: {early_stopping: {patience: 9}}
"""
LINES = ["experiment=mine", "model.optimizer.lr=0.02"]


@pytest.fixture
def run(tmp_path) -> tuple[Path, Path]:
    """A run's folder, as it began, and the folder of its experiment."""
    own = tmp_path / "own"
    (own / "experiment").mkdir(parents=True)
    (own / "experiment/mine.yaml").write_text(EXPERIMENT)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text(yaml.dump(composed(LINES, own)))
    return tmp_path / "run", own


def composed(lines, own):
    cfg = compose.compose("train", compose.check("train", lines, str(own)), str(own))
    return compose.OmegaConf.to_container(compose.without_hydra(cfg))


def same(run, own, lines) -> bool:
    before = yaml.safe_load((run / "config.yaml").read_text())
    changed = differences(before, composed(lines, own))
    return [key for key, *_ in changed if not key.startswith("paths.")] == []


def test_nothing_is_rewritten_while_the_file_says_the_same(run):
    assert as_it_was(LINES, run[0], "train", str(run[1])) == LINES


def test_a_file_that_is_gone_is_not_missed(run):
    folder, own = run
    (own / "experiment/mine.yaml").unlink()
    lines = as_it_was(LINES, folder, "train", str(own))
    assert not [line for line in lines if line.startswith("experiment=")]
    assert same(folder, own, lines)
    assert check_recorded(lines, [], "train", str(own), "config.yaml") == lines  # nothing that a file may not say


def test_a_file_that_was_edited_is_not_followed(run):
    folder, own = run
    edited = EXPERIMENT.replace("max_epochs: 7", "max_epochs: 3").replace("model: mlp", "model: lenet")
    (own / "experiment/mine.yaml").write_text(edited.replace("network: {hidden: [8, 4]}, ", ""))
    assert same(folder, own, as_it_was(LINES, folder, "train", str(own)))


OF_FACTS = """# @package _global_
# Facts that the data tells are null in the YAML, and what hangs on them is there.
defaults:
  - override /model: crnn
  - override /data: captchas
"""


@pytest.fixture
def told(run) -> tuple[Path, Path]:
    """A run of a model whose symbols only the data knows, which is another task's than the default."""
    folder, own = run
    (own / "experiment/mine.yaml").write_text(OF_FACTS)
    cfg = composed(["experiment=mine"], own)
    cfg["data"]["num_symbols"] = cfg["model"]["num_symbols"] = cfg["model"]["network"]["num_symbols"] = 32
    (folder / "config.yaml").write_text(yaml.dump(cfg))
    return run


def test_what_the_data_told_is_no_change_of_the_file(told):
    assert as_it_was(["experiment=mine"], told[0], "train", str(told[1])) == ["experiment=mine"]


def test_a_file_that_is_gone_and_chose_another_task_is_named(told):
    folder, own = told
    (own / "experiment/mine.yaml").unlink()
    with pytest.raises(UserError, match="experiment=mine is not what it was, and chose a model for text_recognition"):
        as_it_was(["experiment=mine"], folder, "train", str(own))


EDITED = "# @package _global_\nseed: 5\n"


@pytest.mark.parametrize(
    ("name", "change"),
    list(zip(compose.options("experiment"), itertools.cycle(["deleted", "edited"]), strict=False)),
)
def test_each_experiment_may_be_deleted_or_edited_once_its_run_has_begun(name, change, run):
    """Each chooses a model, data or a task: the run's record of its choices, and its config.yaml, make the same.

    Half of them are deleted, the others edited, for each composition takes a fifth of a second.
    """
    folder, own = run
    mine = own / "experiment/mine.yaml"
    shutil.copy(compose.options("experiment")[name], mine)
    cfg = compose.compose("train", ["experiment=mine"], str(own))
    record_choices(folder, compose.OmegaConf.to_container(cfg.hydra.runtime.choices))
    (folder / "config.yaml").write_text(yaml.dump(composed(["experiment=mine"], own)))
    if change == "edited":
        mine.write_text(EDITED)
    else:
        mine.unlink()
    lines = as_it_was(["experiment=mine"], folder, "train", str(own))
    assert same(folder, own, check_recorded(lines, [], "train", str(own), "config.yaml"))


def test_an_experiment_that_is_as_it_was_is_taken(run):
    folder, own = run
    shutil.copy(compose.options("experiment")["captchas"], own / "experiment/mine.yaml")
    (folder / "config.yaml").write_text(yaml.dump(composed(["experiment=mine"], own)))
    assert as_it_was(["experiment=mine"], folder, "train", str(own)) == ["experiment=mine"]


AUTOENCODER = """# @package _global_
# Another task's model, smaller than its YAML has it.
defaults:
  - override /model: autoencoder

data: {batch_size: 200}
model: {encoder: {hidden: [16]}, decoder: {hidden: [16]}}
callbacks: {checkpoint: {every_n_steps: 3}}
test: false
trainer: {max_epochs: 4}
"""


def test_a_killed_run_goes_on_bit_for_bit_without_its_experiment(run, tmp_path):
    """Killed at step 9 of 24 with the file edited, so that it says another model, and at step 15 with it deleted.

    Four commands, each a process of its own: 10 s on an idle core.
    """
    own = run[1]
    mine = own / "experiment/mine.yaml"
    mine.write_text(AUTOENCODER)
    searched = f"--config-dir={own}"
    commands.run(tmp_path, searched, "experiment=mine", f"hydra.run.dir={tmp_path / 'whole'}")
    folder = tmp_path / "cut"
    last = folder / "checkpoints/last.ckpt"
    options = ["experiment=mine", f"hydra.run.dir={folder}"]
    for step, change in ((9, lambda: mine.write_text(EXPERIMENT)), (15, mine.unlink)):
        command = commands.start(tmp_path, searched, *options)
        command.wait_until(lambda at=step: last.exists() and checkpoint.load(last)["global_step"] >= at)
        os.kill(command.pid, signal.SIGKILL)
        assert command.wait() == -signal.SIGKILL
        change()
        options = [f"ckpt_path={folder}"]
    commands.run(tmp_path, searched, *options)
    assert not interruptions.differences(saved_state(tmp_path / "whole"), saved_state(folder))
    assert rows(tmp_path / "whole/metrics.csv") == rows(folder / "metrics.csv")


@pytest.mark.parametrize(
    "record",
    [
        {"model": "../../secret"},
        {"model": "crnn,lenet"},
        {"+hydra": "x"},
        {"a=b": "c"},
        {"model": ["crnn"]},
        [],
        "crnn",
    ],
)
def test_a_record_that_names_no_file_of_a_group_chooses_nothing(told, record):
    folder, own = told
    (own / "experiment/mine.yaml").unlink()
    (folder / "choices.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="chose a model for text_recognition, which the other options do not"):
        as_it_was(["experiment=mine"], folder, "train", str(own))


@pytest.mark.parametrize("record", ['{"a=b": "c"}', '{"model": "crnn,lenet"}', "[]", "{"])
def test_a_damaged_record_is_no_worse_than_none(record, run):
    folder, own = run
    (own / "experiment/mine.yaml").unlink()
    (folder / "choices.json").write_text(record)
    assert same(folder, own, as_it_was(LINES, folder, "train", str(own)))


@pytest.mark.parametrize("script", ["eval", "predict", "export"])
@pytest.mark.parametrize("option", ["ckpt_path=no/such/run", "input=photoz"])
def test_a_path_that_is_not_there_is_refused_before_anything_is_loaded(script, option, tmp_path, monkeypatch):
    """In milliseconds, for nothing is composed; and no folder is left."""
    monkeypatch.setenv("LIGHTLOOM_LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.setattr(compose, "check", None)
    with pytest.raises(UserError, match="there is no such file or folder"):
        launch.prepare([option], script)
    assert not (tmp_path / "logs").exists()
