"""All that fills docs/results.md, step by step, the cheapest first; what was done is not done again.

    make reproduce ARGS="--list"             # the steps, with CPU minutes and what has become of them
    make reproduce ARGS="--until 30"         # as many as 30 CPU minutes allow
    make reproduce ARGS="--only finetune classics"

Steps are the rows of scoreboard.yaml, each with its seeds, and those of reproduce.yaml. A command that has ended well
is recorded with its CPU seconds in logs/reproduce/<step>/done.json and is not repeated; one that was killed is given
again with the same folder, so that a training goes on from its checkpoint. What a step printed is in output.txt there.
A step that fails is named, and the exit code is 1. Afterwards `make scoreboard` writes the table.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lightloom.config.compose import ROOT
from lightloom.core import atomic_io

HERE = ROOT / "benchmarks"
SEEDS = 3  # of a row of the scoreboard that names no other
START = 10.0  # CPU seconds in which a command has loaded its libraries
UNKNOWN = float("inf")  # minutes of a row that was never run


@dataclass(frozen=True)
class Step:
    """minutes: of CPU time, as far as it is known. needs: what is not here. after: a step whose runs this one reads."""

    name: str
    commands: Sequence[str]
    minutes: float
    needs: str = ""
    after: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument("--until", type=float, default=UNKNOWN, metavar="minutes", help="of CPU time, of all steps")
    parser.add_argument("--only", nargs="+", metavar="step", help="these, whatever they need")
    parser.add_argument("--into", type=Path, default=ROOT / "logs/reproduce", help="the folder of what is done")
    args = parser.parse_args()
    known = steps(args.into)
    if unknown := set(args.only or []) - {step.name for step in known}:
        parser.error(f"no step {', '.join(sorted(unknown))}; --list names those there are")
    chosen = [step for step in known if step.name in args.only] if args.only else within(known, args.until)
    failed = [] if args.list else [step.name for step in chosen if not run(step, args.into)]
    print("\n".join(report(chosen if args.only else known, args.into)))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; see output.txt in {args.into}/<step>")


# --- steps ------------------------------------------------------------------------------------------------------------


def steps(into: Path) -> list[Step]:
    """All, the cheapest first; what was measured here counts before what is written down."""
    rows: Any = OmegaConf.to_container(OmegaConf.load(HERE / "scoreboard.yaml"))["rows"]  # type: ignore[index]
    kept = json.loads((HERE / "results/scoreboard.json").read_text(encoding="utf-8"))
    own: Any = OmegaConf.to_container(OmegaConf.load(HERE / "reproduce.yaml"))
    found = [of_row(name, row, kept.get(name, {})) for name, row in rows.items() if "introduced" not in row]
    return in_order([*found, *(Step(name, **step) for name, step in own.items())], into)


def of_row(name: str, row: dict[str, Any], kept: dict[str, Any]) -> Step:
    """A row's command with each of its seeds; minutes by what its runs took."""
    seeds = row.get("seeds", SEEDS)
    commands = [f"src/train.py {shlex.join(row['options'])} seed={seed}" for seed in range(seeds)]
    seconds = [run["train_seconds"] for run in kept.values()]
    known = row.get("minutes", seeds * (statistics.mean(seconds) + START) / 60 if seconds else UNKNOWN)
    return Step(name, commands, known, row.get("needs", ""), row.get("after", ""))


def in_order(found: Sequence[Step], into: Path) -> list[Step]:
    """By minutes, but a step after the one whose runs it reads; at the end those that need what is not here."""
    priced = {step.name: replace(step, minutes=measured_minutes(step, into)) for step in found}

    def key(step: Step) -> tuple[bool, float, bool]:
        before = priced[step.after].minutes if step.after else 0.0
        return bool(step.needs), max(step.minutes, before), bool(step.after)

    return sorted(priced.values(), key=key)


def measured_minutes(step: Step, into: Path) -> float:
    """Of a step that is done, what it took here; else what is known of it."""
    seconds = done(step, into).values()
    return sum(seconds) / 60 if len(seconds) == len(step.commands) else step.minutes


def within(known: Sequence[Step], minutes: float) -> list[Step]:
    """The first steps, as many as take no more than these minutes together; none that needs what is not here."""
    chosen: list[Step] = []
    for step in known:
        if step.needs or sum(s.minutes for s in chosen) + step.minutes > minutes:
            break
        chosen.append(step)
    return chosen


# --- what is done -----------------------------------------------------------------------------------------------------


def done(step: Step, into: Path) -> dict[str, float]:
    """CPU seconds of each command that ended well."""
    path = into / step.name / "done.json"
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {command: found[command] for command in step.commands if command in found}


def run(step: Step, into: Path) -> bool:
    """The commands that are left; False as soon as one fails."""
    for index, command in enumerate(step.commands):
        finished = done(step, into)
        if command in finished:
            continue
        print(f"{step.name}: python {command}", flush=True)
        code, seconds = execute(command, into / step.name, index)
        if code:
            return False
        atomic_io.write_text(into / step.name / "done.json", json.dumps({**finished, command: seconds}, indent=1))
    return True


def execute(command: str, folder: Path, index: int) -> tuple[int, float]:
    """(exit code, CPU seconds) of `python <command>` in the repository; its output is added to output.txt."""
    words = shlex.split(command)
    if words[0] == "src/train.py":
        words.append(f"hydra.run.dir={(folder / str(index)).absolute()}")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with (folder / "output.txt").open("a", encoding="utf-8") as file:
        process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, round(usage.ru_utime + usage.ru_stime, 2)


def report(chosen: Sequence[Step], into: Path) -> list[str]:
    """A line for each step, and what all of them take; ~ where minutes were not measured here."""
    lines = []
    for step in chosen:
        finished = len(done(step, into))
        measured = finished == len(step.commands)
        state = "done" if measured else f"wants {step.needs}" if step.needs else f"{finished} of {len(step.commands)}"
        lines.append(f"{format_minutes(step.minutes, measured):>8} min  {step.name:32} {state}")
    total = sum(step.minutes for step in chosen if step.minutes < UNKNOWN)
    spent = sum(sum(done(step, into).values()) for step in chosen) / 60
    return [*lines, f"{total:8.1f} min  of CPU time in all; {spent:.1f} of them spent so far"]


def format_minutes(minutes: float, measured: bool) -> str:
    return "?" if minutes == UNKNOWN else f"{'' if measured else '~'}{minutes:.1f}"


if __name__ == "__main__":
    main()
