"""Hostile files by the hundred: each is refused or does no harm, and nothing in it runs, leaks or hangs.

    python benchmarks/attack.py [--count 100] [--only targets | --fuzz] [--seed 0] [--show] [--write]

A file of benchmarks/attacks has KINDS: the name of each kind, and a generator of its cases, drawn from a seed. Each is
handed to the functions that the commands call, in this process, while an audit hook listens for processes, network and
files; docs/security.md says what must not happen. Prints a table; exit code 1 where something did. --fuzz: 2,000 files
of annotations and 300 checkpoints, in less than ten minutes. --write: puts the rows into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from attacks.watch import BAD, OUTCOMES, Baits, attempt

FOLDER = Path(__file__).parent / "attacks"
PAGE = Path(__file__).parents[1] / "docs/reliability.md"
FUZZ = {"coco": 300, "yolo": 300, "labels": 250, "voc": 250, "annotators": 300, "tables": 200, "pictures": 250,
        "runs": 150, "objects in checkpoints": 150, "broken trees in checkpoints": 150}  # fmt: skip
MOST_MEMORY = 16 << 30  # bytes of addresses, most of which the libraries take: a small file must not ask for them


def kinds(only: list[str] | None = None) -> dict[str, Any]:
    """The generator of each kind, by its name, of all files or of those named."""
    found: dict[str, Any] = {}
    for file in sorted(FOLDER.glob("*.py")):
        if only is None or file.stem in only:
            found.update(getattr(importlib.import_module(f"attacks.{file.stem}"), "KINDS", {}))
    return found


def measure(generator: Any, count: int, seed: int, show: bool = False) -> Counter[str]:
    """How often each outcome came of `count` cases."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        baits = Baits(Path(name))
        for case in generator(baits, count, random.Random(seed)):
            outcome, said = attempt(case, baits)
            found[outcome] += 1
            if show or outcome in BAD:
                print(f"  {outcome}: {case.what}: {said[:300]}", file=sys.stderr)
    return found


def row(name: str, found: Counter[str]) -> str:
    return f"| {name} | {found.total()} | {' | '.join(str(found[outcome]) for outcome in OUTCOMES)} |"


def write(rows: dict[str, str]) -> None:
    """Put the rows, by the names of their kinds, in place of those that docs/reliability.md has, or below them."""
    lines = PAGE.read_text(encoding="utf-8").split("\n")
    head = next(i for i, line in enumerate(lines) if line.startswith("| kind | tried |"))
    end = next(i for i in range(head, len(lines)) if not lines[i].startswith("|"))
    known = {line.split("|")[1].strip(): line for line in lines[head + 2 : end]}
    order = [name for name in kinds() if name in known | rows]
    lines[head + 2 : end] = [rows.get(name) or known[name] for name in order]
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="cases of each kind")
    parser.add_argument("--only", nargs="+", help="these files of benchmarks/attacks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fuzz", action="store_true", help="2,000 files of annotations and 300 checkpoints")
    parser.add_argument("--show", action="store_true", help="tell what came of each case")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/reliability.md")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    warnings.simplefilter("ignore")
    logging.disable()
    started, bad, rows = time.monotonic(), 0, dict[str, str]()
    print(f"| kind | tried | {' | '.join(OUTCOMES)} |")
    print(f"| --- | --- | {' | '.join('---' for _ in OUTCOMES)} |")
    for name, generator in kinds(args.only).items():
        if args.fuzz and name not in FUZZ:
            continue
        found = measure(generator, FUZZ[name] if args.fuzz else args.count, args.seed, args.show)
        bad += sum(found[outcome] for outcome in BAD)
        rows[name] = row(name, found)
        print(rows[name], flush=True)
    if args.write:
        write(rows)
    spent = time.process_time()
    print(f"\n{time.monotonic() - started:.0f} s, {spent:.0f} s of them at work here, seed {args.seed}", flush=True)
    os._exit(bool(bad))  # nobody waits for the threads and workers that a case has left behind


if __name__ == "__main__":
    main()
