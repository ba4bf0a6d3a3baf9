"""How long a command takes to answer, and to its first optimizer step.

    python benchmarks/startup.py [--rounds 5]

--help and two configuration errors in wall time; a run of one step on the digits against importing torch,
pytorch_lightning and torchvision alone, in CPU time of the process, which a busy machine disturbs less: until the step
and the imports have ended, and until the processes have. Each is a process of its own with one thread; they take turns,
after one round that fills the bytecode cache.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from timing import ROOT, Cost, spread

TRAIN = str(ROOT / "src/train.py")
STEP = ["trainer=cpu", "trainer.max_steps=1", "trainer.limit_val_batches=0", "test=false"]
STEP += ["+callbacks.first={_target_: startup.FirstStep}"]
COMMANDS = {
    "train.py --help": [TRAIN, "--help"],
    "unknown model": [TRAIN, "model=lent"],
    "misspelt options": [TRAIN, "trainer.max_epochz=3", "model.network.norn=batch"],
    "imports": ["-c", "import time, torch, pytorch_lightning, torchvision; print('until:', time.process_time())"],
    "run of one step": [TRAIN, *STEP],
}
LIMITS = {"train.py --help": 1.5, "unknown model": 2.0, "misspelt options": 2.0}  # seconds
FAILS = {"unknown model", "misspelt options"}


class FirstStep(pl.Callback):
    """Says how much CPU time the process has taken until its first step has ended."""

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        print("until:", time.process_time(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    until: dict[str, list[float]] = {"imports": [], "run of one step": []}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(args.rounds + 1):
            for name, command in COMMANDS.items():
                cost, said = measure(name, command, Path(scratch))
                costs[name].append(cost)
                if name in until:
                    until[name] += map(float, re.findall(r"until: (\S+)", said))
    report({name: values[1:] for name, values in costs.items()}, {name: values[1:] for name, values in until.items()})


def measure(name: str, command: list[str], scratch: Path) -> tuple[Cost, str]:
    """Seconds of CPU time and of wall time, and what the command said."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(scratch / "pyc"), "LIGHTLOOM_LOG_DIR": str(scratch / "logs")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'benchmarks'}"}
    wall, cpu = time.perf_counter(), cpu_of_children()
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    spent = cpu_of_children() - cpu, time.perf_counter() - wall
    if done.returncode != (2 if name in FAILS else 0):
        sys.exit(f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return spent, done.stdout


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(costs: dict[str, list[Cost]], until: dict[str, list[float]]) -> None:
    whole = {name: [cpu for cpu, _ in costs[name]] for name in until}
    print(f"CPU seconds of a run of one step over those of the imports alone, Python {platform.python_version()}")
    for name, seconds in (("until the step, the imports, have ended", until), ("until the process has ended", whole)):
        pairs = [a / b for a, b in zip(seconds["run of one step"], seconds["imports"], strict=True)]
        print(f"  ratio {spread(pairs, '.2f')}  {name}, n={len(pairs)} pairs")
    for name, values in costs.items():
        cpu, wall = (sorted(column) for column in zip(*values, strict=True))
        limit = f"limit {LIMITS[name]} s" if name in LIMITS else ""
        print(
            f"  wall {statistics.median(wall):6.2f} s [{wall[0]:.2f} .. {wall[-1]:.2f}]  "
            f"CPU {statistics.median(cpu):6.2f} s [{cpu[0]:.2f} .. {cpu[-1]:.2f}]  {name}  {limit}"
        )


if __name__ == "__main__":
    main()
