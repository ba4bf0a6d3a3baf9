"""run.json: what a run knows when it begins and nobody could find out later.

One entry for each time that it was started or continued: the command, the code's state in git, versions and hardware,
what identifies the data, and where it began.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from lightloom.config.diff import MACHINE_KEYS, PATH_KEYS, differences, distinct, matches
from lightloom.core import atomic_io, run_dir
from lightloom.core.places import ROOT, spoken
from lightloom.core.redaction import redact, redact_options
from lightloom.core.run_dir import starts as starts_of
from lightloom.data import contract
from lightloom.engine.optional import optional

log = logging.getLogger("lightloom")

PACKAGES = ("lightloom", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "timm", "hydra-core", "numpy")
GIT_SECONDS = 10
TIME = "%Y-%m-%d %H:%M:%S %z"


@optional(run_dir.RECORD)
def begin(
    run: Path,
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    splits: dict[str, Any],
    origin: dict[str, Any] | None,
) -> None:
    """Add an entry for this start. splits: what identifies the data. origin: see `origin_of`."""
    entry = {
        "time": datetime.now().astimezone().strftime(TIME),
        "command": command(sys.argv),
        "git": git(),
        "versions": versions(),
        "hardware": hardware(trainer),
        "parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "data": {"name": contract.name(datamodule), "splits": splits, "found": found_in(datamodule)},
        "origin": origin,
    }
    write(run, [*_timed(run, starts_of(run)), entry])


def found_in(datamodule: pl.LightningDataModule) -> dict[str, Any] | None:
    """items, parts, of and notes, as `contract.Summary` explains them; None where the data does not say."""
    found = contract.summary(datamodule)
    return asdict(found) if found else None


@optional(run_dir.RECORD)
def end(run: Path, seconds: float, finished: bool, stopped_by: str | None = None) -> None:
    """How long this start has trained, whether it came to the run's end, and what ended it before its last epoch."""
    if starts := starts_of(run):
        told = {"train_seconds": round(seconds, 2), "finished": finished, "stopped_by": stopped_by}
        write(run, [*starts[:-1], {**starts[-1], **told}])


def seconds_before(run: Path) -> float:
    """What the starts before this one have trained whose work it continues."""
    starts = starts_of(run)
    begun = [i for i, start in enumerate(starts) if (start.get("origin") or {"weights_only": True})["weights_only"]]
    return sum(start.get("train_seconds") or 0.0 for start in starts[max(begun, default=0) : -1])


def _timed(run: Path, starts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A start that was killed could not say how long it trained: until its last checkpoint was written."""
    last = run / run_dir.CHECKPOINTS / run_dir.LAST
    if not starts or "train_seconds" in starts[-1] or not last.is_file():
        return starts
    begun = datetime.strptime(starts[-1]["time"], TIME).timestamp()
    seconds = max(last.stat().st_mtime - begun, 0.0)
    return [*starts[:-1], {**starts[-1], "train_seconds": round(seconds, 2), "finished": False}]


@optional(run_dir.RECORD)
def add_test_data(run: Path, datamodule: pl.LightningDataModule) -> None:
    """The fingerprints of the splits that were read since the run began."""
    starts = starts_of(run)
    known = starts[-1]["data"]["splits"] if starts else {}
    now = contract.describe(datamodule, known)
    if starts and now != known:
        known.update(now)
        starts[-1]["data"]["found"] = found_in(datamodule)
        write(run, starts)


def origin_of(path: Path | None, content: dict[str, Any], weights_only: Any, now: Any) -> dict[str, Any] | None:
    """The checkpoint that training begins with, how far it is, and the options that are others `now`; None without one.

    content: of the checkpoint. weights_only: as `weights_only_init` says it.
    """
    if path is None:
        return None
    found = differences(content["config"], now)
    changed = distinct([c for c in found if not matches(c[0], (*MACHINE_KEYS, *PATH_KEYS))])
    facts = {"path": str(path), "epoch": content["epoch"], "step": content["global_step"]}
    return {**facts, "weights_only": weights_only, "changed": changed}


def write(run: Path, starts: list[dict[str, Any]]) -> None:
    """Write run.json anew: the record of each start of the run."""
    atomic_io.write_text(run / run_dir.RECORD, json.dumps(redact_options({"starts": starts}), indent=2) + "\n")


def command(argv: list[str]) -> str:
    """The command line, without where the run lies and begins."""
    given = [a for a in argv[1:] if a.partition("=")[0].lstrip("+") not in run_dir.ONCE]
    return shlex.join([*spoken(Path(argv[0]).stem).split(), *map(redact, given)])


# --- the code and the machine


def git() -> dict[str, Any] | None:
    """commit, branch, changed (files under git), and the SHA-256 of their difference; None where there is no git."""
    try:
        status = _git("status", "--porcelain", "--untracked-files=no").decode(errors="replace")
        changed = [line for line in status.splitlines() if line]
        return {
            "commit": _git("rev-parse", "HEAD").decode().strip(),
            "branch": _git("rev-parse", "--abbrev-ref", "HEAD").decode().strip(),
            "changed": len(changed),
            "diff_sha256": hashlib.sha256(_git("diff", "HEAD")).hexdigest() if changed else None,
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> bytes:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, check=True, timeout=GIT_SECONDS, env=environment
    )
    return done.stdout


def versions() -> dict[str, str]:
    """Of Python, torch and the packages that decide what a run computes, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {"torch": torch.__version__}


def hardware(trainer: pl.Trainer) -> dict[str, Any]:
    """What the run computes on: system, processor, cores, threads, GPUs, processes and precision."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "cuda": torch.version.cuda if gpus else None,
        "device": str(trainer.strategy.root_device),
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
