"""What the benchmarks share: a cost, a ratio with its spread, a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
Cost = tuple[float, float]  # seconds of CPU time of the whole process, seconds of wall time


def now() -> Cost:
    return time.process_time(), time.perf_counter()


def since(start: Cost) -> Cost:
    cpu, wall = now()
    return cpu - start[0], wall - start[1]


def in_own_process(command: list[str]) -> str:
    """Python's output for this command, with one thread, and a terminal for its messages, so that bars are drawn."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'benchmarks'}"}
    screen, terminal = os.openpty()
    seen: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(screen, seen))
    reader.start()
    try:
        done = subprocess.run(
            [sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=terminal, text=True, check=False
        )
    finally:
        os.close(terminal)
        reader.join()
        os.close(screen)
    if done.returncode:
        sys.exit(done.stdout + b"".join(seen).decode(errors="replace"))
    return done.stdout


def _drain(screen: int, seen: list[bytes]) -> None:
    """Read until the other end is closed, which Linux tells by an error."""
    try:
        while piece := os.read(screen, 65536):
            seen.append(piece)
    except OSError:
        pass


def report(images: int, seconds: dict[str, list[Cost]]) -> None:
    """The rate of the first way against each of the others, in pairs, and all rates; by CPU and by wall time."""
    ours, *others = seconds
    for column, unit in enumerate(("CPU s", "s")):
        rates = {name: [images / epoch[column] for epoch in epochs] for name, epochs in seconds.items()}
        for name in others:
            pairs = [a / b for a, b in zip(rates[ours], rates[name], strict=True)]
            print(f"  ratio {spread(pairs, '.3f')}  images per {unit}, {ours} / {name}, n={len(pairs)} pairs of epochs")
        for name, values in rates.items():
            form = ",.0f" if min(values) >= 100 else ",.2f"
            ends = f"[{min(values):{form}} .. {max(values):{form}}]"
            print(f"        {statistics.median(values):10{form}} per {unit:5} {ends}  {name}", flush=True)


def spread(values: list[float], form: str) -> str:
    """The median, and the quartiles around it; of fewer than four values the smallest and the largest."""
    few = len(values) < 4
    low, high = (min(values), max(values)) if few else statistics.quantiles(values, n=4)[::2]
    return f"{statistics.median(values):{form}}, {'range' if few else 'quartiles'} [{low:{form}} .. {high:{form}}]"


def take_turns(ways: dict[str, Callable[[], int]], rounds: int, seconds: float = 0.2) -> dict[str, list[float]]:
    """Images per second of this process's CPU time; each way, which says how many it did, runs so long in each round.

    The first round is not counted.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started, done = time.process_time(), 0
            while (spent := time.process_time() - started) < seconds:
                done += way()
            rates[name].append(done / spent)
    return {name: values[1:] for name, values in rates.items()}


def table(title: str, rates: dict[str, list[float]]) -> None:
    """The first way against each other one, and each rate with its smallest and largest."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    first = next(iter(rates))
    print(f"{title}; images per CPU s; the ratio is {first} / the way")
    print(f"{'ratio':>8} {'median':>10} {'min':>10} {'max':>10} {'n':>3}  way")
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(rates[first], values, strict=True))
        print(f"{ratio:8.2f} {medians[name]:10,.0f} {min(values):10,.0f} {max(values):10,.0f} {len(values):3}  {name}")
