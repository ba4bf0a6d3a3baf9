"""The tests that learn, on other kernels, threads and seeds: what they demand must not hang on the order of sums.

Each combination is a process of its own. make test-portable; options choose fewer combinations.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "logs" / "portable"
# Capability of ATen -> what oneDNN and MKL may use at most. MKL heeds it on Intel's processors only.
KERNELS = {"default": ("SSE41", "SSE4_2"), "avx2": ("AVX2", "AVX2"), "avx512": ("AVX512_CORE", "AVX512")}
OUTCOME = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
FAULT = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Combination:
    threads: int
    isa: str
    seed: int

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' if self.threads > 1 else ' '}  {self.isa:7}  seed {self.seed}"

    @property
    def environment(self) -> dict[str, str]:
        """What the libraries read when they are loaded, so a process has one combination."""
        onednn, mkl = KERNELS[self.isa]
        chosen = {"OMP_NUM_THREADS": str(self.threads), "LIGHTLOOM_TEST_SEED": str(self.seed)}
        chosen |= {"ATEN_CPU_CAPABILITY": self.isa, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}
        return {**os.environ, **chosen, "CUDA_VISIBLE_DEVICES": ""}


@dataclass
class Outcome:
    combination: Combination
    seconds: float
    code: int
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(self.counts.get(name, 0) for name in ("failed", "error", "errors"))

    def __str__(self) -> str:
        figures = f"{self.counts.get('passed', 0):3} passed  {self.failed:3} failed  {self.seconds:6.0f} s"
        return "  ".join([str(self.combination), figures, *self.faults, *self._broken()])

    def _broken(self) -> list[str]:
        """Where pytest has ended otherwise than by a failed test: a crash, a wrong expression."""
        return [f"exit code {self.code}"] if self.code and not self.failed else []


def main() -> None:
    options = parsed()
    known = capabilities()
    for isa in (isa for isa in options.isa if isa not in known):
        print(f"left out: {isa}, which this processor lacks")
    chosen = itertools.product(options.threads, (isa for isa in options.isa if isa in known), options.seeds)
    outcomes = []
    for threads, isa, seed in chosen:
        outcomes.append(run(Combination(threads, isa, seed), options.expression))
        print(outcomes[-1], flush=True)
    print(f"\n{table(outcomes)}")
    sys.exit(any(outcome.code for outcome in outcomes) or not outcomes)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--isa", nargs="+", choices=KERNELS, default=list(KERNELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("-k", dest="expression", default="", help="only tests that match, as pytest's -k")
    return parser.parse_args()


def capabilities() -> list[str]:
    """What ATen has kernels for here, the least first. It is asked unguided: it obeys its variable unseen."""
    asked = "import torch; print(torch.backends.cpu.get_cpu_capability().lower())"
    unguided = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    best = subprocess.run([sys.executable, "-c", asked], env=unguided, capture_output=True, text=True, check=True)
    names = list(KERNELS)
    return names[: names.index(best.stdout.strip()) + 1] if best.stdout.strip() in names else names[:1]


def run(combination: Combination, expression: str = "") -> Outcome:
    """Pytest's outcome; its output is in logs/portable, while it runs too."""
    options = ["-m", "learns", "-q", "-rfE", "--tb=short", "--durations=5", "-k", expression]
    command = [sys.executable, "-m", "pytest", *options, *files()]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    output = OUTPUT / f"{combination.threads}-{combination.isa}-{combination.seed}.txt"
    began = time.monotonic()
    with output.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=ROOT, env=combination.environment, stdout=file, stderr=subprocess.STDOUT)
    seconds = time.monotonic() - began
    return read(combination, seconds, done.returncode, output.read_text(encoding="utf-8", errors="replace"))


def files() -> list[str]:
    """Those with the mark: to collect all tests takes longer than to run a few."""
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path) for path in found if "pytest.mark.learns" in path.read_text(encoding="utf-8")]


def read(combination: Combination, seconds: float, code: int, text: str) -> Outcome:
    last = text.rstrip().rpartition("\n")[2]
    counts = {name: int(count) for count, name in OUTCOME.findall(last)}
    return Outcome(combination, seconds, code, counts, FAULT.findall(text))


def table(outcomes: Iterable[Outcome]) -> str:
    """A line for each choice of threads and kernels: failures with each seed."""
    rows: dict[tuple[int, str], list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault((outcome.combination.threads, outcome.combination.isa), []).append(outcome)
    lines = ["| threads | kernels | seeds | passed | failed | seconds |", "| --- | --- | --- | --- | --- | --- |"]
    for (threads, isa), found in rows.items():
        seeds = ", ".join(str(outcome.combination.seed) for outcome in found)
        passed, failed = sum(outcome.counts.get("passed", 0) for outcome in found), sum(faults(found))
        lines.append(f"| {threads} | {isa} | {seeds} | {passed} | {failed} | {sum(o.seconds for o in found):.0f} |")
    return "\n".join(lines)


def faults(outcomes: Iterable[Outcome]) -> list[int]:
    """Failures of each; a run that pytest could not end counts as one."""
    return [outcome.failed or bool(outcome.code) for outcome in outcomes]


if __name__ == "__main__":
    main()
