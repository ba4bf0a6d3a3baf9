"""Sweeps for tests: plans of small runs, and launchers that start in milliseconds."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import commands
import optuna

from lightloom.core import lock
from lightloom.sweeps import plan as plans
from lightloom.sweeps import search
from lightloom.sweeps.launchers import OUTPUT, Job, Launcher
from lightloom.sweeps.plan import Plan

TINY = ("model=mlp", "model.network.hidden=[8]", "trainer=cpu", "logger=csv", "data.eval_batch_size=400")
LIMIT = 120  # seconds for a job
SHORT = (*TINY, "trainer.max_epochs=1", "trainer.limit_train_batches=2")


def ended(job: Job) -> int:
    """The exit code of a job that ends."""
    deadline = time.monotonic() + LIMIT
    while (code := job.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return code


def plan(folder: Path, *arguments: str) -> Plan:
    """What `sweep.py <arguments>` is to do, with its folders in `folder`."""
    configs = folder / "configs"
    configs.mkdir(exist_ok=True)
    return plans.read([f"--config-dir={configs}", f"paths.log_dir={folder}", "sweep.name=s", *arguments])


def search_all(found: Plan, launcher: Launcher) -> optuna.Study:
    """The study with all trials done, as one command leaves it."""
    study = search.open_study(found)
    try:
        search.run(found, study, launcher)
    finally:
        lock.release()
    return study


@dataclass
class ForkedJob:
    command: commands.Command

    def poll(self) -> int | None:
        return self.command.process.exitcode

    def stop(self) -> None:
        os.kill(self.command.pid, signal.SIGTERM)


class Forked:
    """Real runs of train.py, as forks of a process that has loaded the libraries."""

    outlives = False

    def start(self, options: Sequence[str], run: Path, slot: int) -> ForkedJob:
        run.mkdir(parents=True, exist_ok=True)
        command = commands.start(run, *options)
        (run / OUTPUT).unlink(missing_ok=True)
        (run / OUTPUT).symlink_to(command.output)
        return ForkedJob(command)


@dataclass
class Done:
    code: int

    def poll(self) -> int:
        return self.code

    def stop(self) -> None:
        """Nothing goes on."""


class Instant:
    """Runs that are over at once, with a score that is a function of their options; for the laws of searching."""

    outlives = False

    def __init__(self, score: Callable[[dict[str, str]], float], most: int = 10**9) -> None:
        self.score, self.most = score, most
        self.started: list[str] = []

    def start(self, options: Sequence[str], run: Path, slot: int) -> Done:
        if len(self.started) == self.most:
            raise KeyboardInterrupt
        self.started.append(f"{run.parent.name}/{run.name}")
        run.mkdir(parents=True, exist_ok=True)
        score = self.score(dict(o.split("=", 1) for o in options if not o.startswith("--")))
        (run / "results.json").write_text(json.dumps({"best val/acc": score, "train_seconds": 1.0}))
        return Done(0)
