"""Validations, ends and last batches that once went wrong; benchmarks/attacks/rhythms.py draws more."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import pytest
import resumable
from conftest import ROOT

from lightloom.core.errors import UserError

RARE = "callbacks.sometimes._target_=attacks.rhythms.Sometimes callbacks.console=null trainer.max_steps=-1"
STOP = "callbacks=early_stopping callbacks.early_stopping.patience=1 callbacks.early_stopping.min_delta=0.05"
ROWS = {
    "a metric of training, validated after every third epoch": (
        "trainer.limit_train_batches=2 trainer.max_epochs=5 trainer.check_val_every_n_epoch=3",
        *("train/loss", "min"),
    ),
    "a metric that every other validation leaves out": (
        "trainer.limit_train_batches=2 trainer.max_epochs=8 callbacks.checkpoint.every_n_epochs=1 "
        "scheduler@model.scheduler=plateau model.scheduler.patience=0",
        *("val/rare", "max"),
    ),
    "stopped before the first step has all its batches": (
        "trainer.limit_train_batches=5 trainer.max_epochs=1 +trainer.val_check_interval=1 "
        "trainer.accumulate_grad_batches=3",
        *("val/acc", "max"),
    ),
}


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[str], str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        rhythms = importlib.import_module("attacks.rhythms")
        yield lambda options: rhythms.run(tuple(options.split()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ROWS)
def test_what_is_kept_and_stopped_follows_what_was_measured(run, name):
    """A second each."""
    options, metric, mode = ROWS[name]
    monitors = " ".join(
        f"{place}={metric} {place.rpartition('.')[0]}.mode={mode}"
        for place in ("monitor.metric", "callbacks.checkpoint.monitor")
    )
    scheduler = "" if "scheduler" in options else "scheduler@model.scheduler=constant"
    assert "steps" in run(f"{monitors} {RARE} {STOP} {scheduler} trainer.limit_val_batches=1 {options}")


@pytest.mark.filterwarnings("ignore")
def test_an_interval_that_no_epoch_reaches_is_one_line(run):
    with pytest.raises(UserError, match="val_check_interval=3: an epoch has 2 batches") as refused:
        run(f"{RARE} trainer.limit_train_batches=2 trainer.max_epochs=2 +trainer.val_check_interval=3")
    assert "\n" not in str(refused.value)


def test_a_plateau_is_told_of_a_validation_that_lies_before_the_checkpoint(tmp_path):
    """Seven batches, validations after three and six: a run that goes on from the seventh measures nothing itself."""
    options = {"schedule": "plateau", "val_check_interval": 3, "max_epochs": 2}
    full = resumable.run(tmp_path / "full", keeper=resumable.KeepAll, **options)
    assert resumable.continue_each(tmp_path, full, slice(2, None, 5), **options)
