"""Hostile files by the hundred: each is refused or does no harm, and nothing in it runs, leaks or hangs.

    python benchmarks/attack.py [--count 100] [--only targets] [--seed 0] [--show]

A file of benchmarks/attacks has KINDS: the name of each kind, and a generator of its cases, drawn from a seed. Each is
handed to the functions that the commands call, in this process, while an audit hook listens for processes, network and
files; docs/security.md says what must not happen. Prints a table; exit code 1 where something did.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="cases of each kind")
    parser.add_argument("--only", nargs="+", help="these files of benchmarks/attacks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="tell what came of each case")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    warnings.simplefilter("ignore")
    logging.disable()
    started, bad = time.monotonic(), 0
    print(f"| kind | tried | {' | '.join(OUTCOMES)} |")
    print(f"| --- | --- | {' | '.join('---' for _ in OUTCOMES)} |")
    for name, generator in kinds(args.only).items():
        found = measure(generator, args.count, args.seed, args.show)
        bad += sum(found[outcome] for outcome in BAD)
        print(f"| {name} | {found.total()} | {' | '.join(str(found[o]) for o in OUTCOMES)} |", flush=True)
    print(f"\n{time.monotonic() - started:.0f} s, seed {args.seed}", flush=True)
    os._exit(bool(bad))  # nobody waits for the threads and workers that a case has left behind


if __name__ == "__main__":
    main()
