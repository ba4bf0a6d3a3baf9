"""Runs that are interrupted: callbacks that note each step or raise signals, and a run interrupted until it ends."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import commands
import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.config.compose import ROOT
from lightloom.core import watchdog
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint

HERE = {"PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("tests/support", "tests", "src"))}
WATCHED = ("+callbacks.diary={_target_: interruptions.Diary}", "+callbacks.told={_target_: interruptions.Told}")
WAIT, TOLD = "TEST_WAIT", "TEST_TOLD"  # environment variables: a run's options are those of the run that continues it


class Diary(pl.Callback):
    """A line of diary.jsonl for each training batch: its number, what was in it, the loss of each player's step.

    WAIT: seconds by which each batch is slowed down.
    """

    def __init__(self) -> None:
        self.wait = float(os.environ.get(WAIT, "0"))
        self.losses: list[str] = []

    def on_before_backward(self, trainer: pl.Trainer, module: pl.LightningModule, loss: Tensor) -> None:
        self.losses.append(float(loss).hex())

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        row = {"n": trainer.fit_loop.epoch_loop.batch_progress.total.ready, "batch": digest(batch), "loss": self.losses}
        self.losses = []
        with Path(trainer.default_root_dir, "diary.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        time.sleep(self.wait)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        time.sleep(self.wait)


class Told(pl.Callback):
    """Sends its process a signal, where TOLD is `<number> <stage> <batch> <rank> <times>`.

    In a batch (from 1, over all epochs) of stage `train` or `val`, or at the end of an epoch, the number of which is
    then the batch (`end`).
    """

    def __init__(self) -> None:
        number, self.stage, *others = os.environ.get(TOLD, "0 never 0 0 0").split()
        self.number, (self.batch, self.rank, self.times) = int(number), map(int, others)
        self.validated = 0

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self._tell(trainer, "train", trainer.fit_loop.epoch_loop.batch_progress.total.ready)

    def on_validation_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.validated += 1
        self._tell(trainer, "val", self.validated)

    def on_train_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._tell(trainer, "end", trainer.current_epoch + 1)

    def _tell(self, trainer: pl.Trainer, stage: str, batch: int) -> None:
        if (stage, batch, trainer.global_rank) == (self.stage, self.batch, self.rank):
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


class Noted(pl.Callback):
    """metrics-<rank>.json: what each process has logged at the end of each epoch."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.logged.append({name: float(value) for name, value in sorted(trainer.callback_metrics.items())})
        path = Path(trainer.default_root_dir, f"metrics-{trainer.global_rank}.json")
        path.write_text(json.dumps(self.logged))


class Stuck(pl.Callback):
    """The second batch never ends, and two seconds are enough to see it."""

    def __init__(self) -> None:
        watchdog.PATIENCE = 2.0

    def on_before_backward(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 2:
            threading.Event().wait(1000)


class Failing(pl.Callback):
    """One process meets a mistake that the others do not."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_rank == self.rank:
            raise UserError("the cat is on the keyboard.")


def digest(value: Any) -> str:
    """Of all tensors in a nested value, bit for bit."""
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return hashlib.sha256(content).hexdigest()[:16]
    if isinstance(value, dict):
        return digest([value[k] for k in sorted(value)])
    if isinstance(value, list | tuple):
        return hashlib.sha256("".join(map(digest, value)).encode()).hexdigest()[:16]
    return str(value)


def diary(run: Path) -> list[dict[str, Any]]:
    """The rows; a last line that was cut by a SIGKILL is none."""
    path = run / "diary.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """The places in which two nested values are not the same bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in {*a, *b} for d in differences(a.get(k), b.get(k), f"{where}/{k}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [d for i, pair in enumerate(zip(a, b, strict=True)) for d in differences(*pair, f"{where}/{i}")]
    same = torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
    return [] if same else [where]


def saved(run: Path) -> dict[str, Any]:
    """All that last.ckpt holds, but the configuration, which has the run's paths."""
    content = checkpoint.load(run / "checkpoints" / "last.ckpt")
    return {key: value for key, value in content.items() if key not in ("hyper_parameters", "lightloom", "config")}


@dataclass
class Chaos:
    """A run that was interrupted again and again: how it ended each time, and how it differs from one that was not."""

    endings: list[str] = field(default_factory=list)
    redone: int = 0
    wrong: list[str] = field(default_factory=list)


def until_done(
    logs: Path,
    options: Sequence[str],
    most: int,
    seed: int = 0,
    varied: Sequence[Sequence[str]] = ((),),
    signals: Sequence[int] = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT),
    wait: float = 0.0,
) -> Chaos:
    """Repeat one command, interrupted at random at most `most` times, until it is done; compare it with a plain run.

    varied: further options, one of which is drawn at each attempt. wait: seconds to slow a batch down by, so that the
    interruptions fall everywhere.
    """
    draw, chaos = random.Random(seed), Chaos()
    command_line = (*options, *WATCHED, "run_name=run")
    commands.run(logs / "plain", *command_line, *varied[0], env=HERE)
    plain, run = (logs / name / "runs" / "run" for name in ("plain", "chaos"))
    batches = len(diary(plain))
    while True:
        before = len(diary(run))
        env = {**HERE, WAIT: str(wait)}
        command = commands.start(logs / "chaos", *command_line, *draw.choice(varied), env=env)
        if len(chaos.endings) < most:
            rows, rest = draw.randint(1, max(2 * batches // most, 2)), draw.random() * wait
            while command.process.exitcode is None and len(diary(run)) < before + rows:
                time.sleep(0.002)
            time.sleep(rest)
            number = draw.choice(signals)
            if command.process.exitcode is None:
                os.kill(command.pid, number)
                chaos.endings.append(f"{signal.Signals(number).name} {command.wait()}")
        code = command.wait()
        if code == 0:
            break
        if code not in (-signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT):
            raise AssertionError(f"exit code {code}:\n{command.text}")
    expected = {row["n"]: row for row in diary(plain)}
    for row in diary(run):
        if row != expected.get(row["n"]):
            chaos.wrong.append(f"step {row['n']}")
    chaos.wrong += [f"no step {n}" for n in expected.keys() - {row["n"] for row in diary(run)}]
    chaos.wrong += differences(saved(plain), saved(run))
    logged = [(folder / "metrics.csv").read_text() for folder in (plain, run)]
    chaos.wrong += ["metrics.csv"] if logged[0] != logged[1] else []
    chaos.redone = len(diary(run)) - len(expected)
    return chaos
