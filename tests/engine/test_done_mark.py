"""A command that is killed at any of its writes after training, and repeated, leaves what one that was not killed does.

So the mark of a finished run, results.json, is the last thing written. What is written is seen by the interpreter's
audit events, so a new file of a run joins by itself.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from conftest import compose
from killed import WRITES, files, killed
from omegaconf import DictConfig
from resumable import rows

from lightloom.config import compose as config
from lightloom.core.run_dir import figures

pytestmark = pytest.mark.slow  # runs and trains in this process

OPTIONS = ("trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "logger=csv")
OPTIONS += (
    "trainer.limit_test_batches=1",
    "trainer.enable_progress_bar=false",
    "preflight=false",
    "data.batch_size=20",
)
SMALL = ("callbacks.quality.val_samples=20", "+model.generator.hidden=8", "+model.discriminator.units=8", "test=false")
RUNS = {
    "classifier": ("model=mlp", "callbacks=ema"),
    "generator": ("model=gan", *SMALL),
}
LAST = "checkpoints/last.ckpt"


@functools.cache
def composed(folder: Path, name: str) -> DictConfig:
    cfg = config.without_hydra(compose(*RUNS[name], *OPTIONS, f"paths.output_dir={folder}"))
    cfg.overrides, cfg.choices = list(RUNS[name]), {}
    return cfg


def train(folder: Path, name: str, fatal: str = "") -> list[str]:
    """The command, in this process, which is killed at the write of `fatal` after training; the files it wrote."""
    import train as script

    cfg = composed(folder, name).copy()
    return killed(lambda: script.train(cfg), folder, fatal, LAST)


def results(folder: Path) -> dict[str, Any]:
    return {**figures(folder), "train_seconds": 0}


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_each_write_after_training_in_turn_it_comes_to_its_end(tmp_path, name):
    """About a second for each write, for it takes a command; so what every run writes is left to the classifier."""
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    writes = train(whole, name)
    after = writes[len(writes) - writes[::-1].index(LAST) :]
    assert after[-1] == "results.json"
    left_out = {"metrics.csv", "run.json"} | (set() if name == "classifier" else {"README.md", "report.html"})
    for file in [file for file in dict.fromkeys(after) if file not in left_out]:
        assert train(folder, name, fatal=file)[-1] != "results.json"
        assert WRITES.dead, f"{file} was not written again"
    assert not (folder / "results.json").exists()
    assert train(folder, name)[-1] == "results.json"
    assert files(folder) == files(whole)
    assert results(folder) == results(whole)
    assert rows(folder / "metrics.csv") == rows(whole / "metrics.csv")
    assert train(folder, name) == ["run.lock", "run.log"]  # it says that it is finished, and it is
