"""How long a command takes to answer, and to its first optimizer step.

    python benchmarks/startup.py [--rounds 5]

--help and two configuration errors in wall time; a run of one step on the digits against importing torch,
pytorch_lightning and torchvision alone, in CPU time of the whole process, which a busy machine disturbs less. Each is
a process of its own with one thread; they take turns, after one round that fills the bytecode cache.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAIN = str(ROOT / "src/train.py")
STEP = ["trainer=cpu", "trainer.max_steps=1", "trainer.limit_val_batches=0", "test=false"]
COMMANDS = {
    "train.py --help": [TRAIN, "--help"],
    "unknown model": [TRAIN, "model=lent"],
    "misspelt options": [TRAIN, "trainer.max_epochz=3", "model.network.norn=batch"],
    "imports": ["-c", "import torch, pytorch_lightning, torchvision"],
    "first step": [TRAIN, *STEP],
}
LIMITS = {"train.py --help": 1.5, "unknown model": 2.0, "misspelt options": 2.0}  # seconds
FAILS = {"unknown model", "misspelt options"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(args.rounds + 1):
            for name, command in COMMANDS.items():
                seconds[name].append(measure(name, command, Path(scratch)))
    report({name: values[1:] for name, values in seconds.items()})


def measure(name: str, command: list[str], scratch: Path) -> tuple[float, float]:
    """Seconds of wall time and of CPU time, children included."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(scratch / "pyc"), "LIGHTLAB_LOG_DIR": str(scratch / "logs")}
    environment["OMP_NUM_THREADS"] = "1"
    wall, cpu = time.perf_counter(), cpu_of_children()
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    spent = time.perf_counter() - wall, cpu_of_children() - cpu
    if done.returncode != (2 if name in FAILS else 0):
        sys.exit(f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return spent


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(seconds: dict[str, list[tuple[float, float]]]) -> None:
    pairs = [step[1] / imports[1] for step, imports in zip(seconds["first step"], seconds["imports"], strict=True)]
    print(
        f"ratio {statistics.median(pairs):.2f}  CPU seconds of a whole one-step run / of the imports alone, "
        f"n={len(pairs)} pairs, [{min(pairs):.2f} .. {max(pairs):.2f}], python {platform.python_version()}"
    )
    for name, values in seconds.items():
        wall, cpu = (sorted(column) for column in zip(*values, strict=True))
        limit = f"limit {LIMITS[name]} s" if name in LIMITS else ""
        print(
            f"  wall {statistics.median(wall):6.2f} s [{wall[0]:.2f} .. {wall[-1]:.2f}]  "
            f"CPU {statistics.median(cpu):6.2f} s [{cpu[0]:.2f} .. {cpu[-1]:.2f}]  {name}  {limit}"
        )


if __name__ == "__main__":
    main()
