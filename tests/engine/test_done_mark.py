"""A command that is killed at any of its writes after training, and repeated, leaves what one that was not killed does.

So the mark of a finished run, results.json, is the last thing written. What is written is seen by the interpreter's
audit events, so a new file of a run joins by itself.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, compose
from omegaconf import DictConfig
from resumable import rows

from lightloom.config import compose as config
from lightloom.core import lock
from lightloom.core.run_dir import figures

pytestmark = pytest.mark.slow  # runs and trains in this process

sys.path.insert(0, str(ROOT / "src"))
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


class Killed(BaseException):
    """In place of SIGKILL: whatever is done on the way out writes nothing."""


class Writes:
    """The names of files that take their place below `folder`, in order; that of `fatal`, and all after it, do not.

    A file takes its place when it is renamed from a temporary one, or opened where it stays.
    """

    def __init__(self) -> None:
        self.folder, self.fatal, self.seen, self.dead = "", "", list[str](), False
        sys.addaudithook(self._hear)

    @contextmanager
    def until(self, folder: Path, fatal: str) -> Iterator[None]:
        self.folder, self.fatal, self.seen, self.dead = str(folder), fatal, [], False
        try:
            yield
        finally:
            self.folder = ""

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder and event in ("open", "os.rename", "os.link"):
            writes = event != "open" or (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR))
            path = Path(os.fsdecode(args[event != "open"])) if writes and not isinstance(args[0], int) else Path()
            if path.is_relative_to(self.folder) and ".saving" not in path.name:
                name = str(path.relative_to(self.folder))
                self.dead = self.dead or (name == self.fatal and LAST in self.files())
                if self.dead:
                    raise Killed
                self.seen.append(name)

    def files(self) -> list[str]:
        return files(Path(self.folder))


WRITES = Writes()


@functools.cache
def composed(folder: Path, name: str) -> DictConfig:
    cfg = config.without_hydra(compose(*RUNS[name], *OPTIONS, f"paths.output_dir={folder}"))
    cfg.overrides = list(RUNS[name])
    return cfg


def train(folder: Path, name: str, fatal: str = "") -> list[str]:
    """The command, in this process, which is killed at the write of `fatal` after training; the files it wrote."""
    import train as script

    cfg, before = composed(folder, name).copy(), set(os.environ)
    try:
        with WRITES.until(folder, fatal):
            script.train(cfg)
    except Killed:
        pass
    finally:
        lock.release()
        for name in set(os.environ) - before:
            del os.environ[name]
    return WRITES.seen


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


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
