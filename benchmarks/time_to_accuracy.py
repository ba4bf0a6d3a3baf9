"""What an experiment reaches, and in how many seconds of training, over several seeds.

    python benchmarks/time_to_accuracy.py [fashion_mnist_speedrun digits_speedrun ...] [--seeds 5] [--set key=value ...]

Each run is the command `python src/train.py experiment=... seed=...` in a process of its own, with all that it does by
default. Seconds are results.json's `train_seconds`: from the first call of the Trainer's fit to its return, with
validation and checkpoints; importing, reading data and testing are outside. CPU seconds are of the whole command. The
load of the machine before each run is printed: above about 0.5 the seconds say more about the neighbours.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
FIGURES = {"test/acc": "test accuracy", "train_seconds": "training s", "cpu_seconds": "CPU s of the command"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", default=["fashion_mnist_speedrun", "digits_speedrun"])
    parser.add_argument("--seeds", type=int, default=5, help="0, 1, ...")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="options of every run")
    args = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device}")
    for experiment in args.experiments:
        print(" ".join([f"experiment={experiment}", *args.set]))
        found = [measured(experiment, seed, args.set) for seed in range(args.seeds)]
        for figure, name in FIGURES.items():
            print(f"  {name:22} {summary([run[figure] for run in found])}", flush=True)


def measured(experiment: str, seed: int, options: list[str]) -> dict[str, float]:
    """The results of one run, printed as they come."""
    load, before = os.getloadavg()[0], cpu_seconds()
    with tempfile.TemporaryDirectory() as scratch:
        command = [f"experiment={experiment}", f"seed={seed}", f"paths.log_dir={scratch}", *options]
        done = subprocess.run(
            [sys.executable, str(ROOT / "src/train.py"), *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        (path,) = Path(scratch).rglob("results.json")
        found = {**json.loads(path.read_text()), "cpu_seconds": cpu_seconds() - before}
    figures = "  ".join(f"{name} {found[figure]:.4g}" for figure, name in FIGURES.items())
    print(f"    seed {seed}  {figures}  (load {load:.1f})", flush=True)
    return found


def cpu_seconds() -> float:
    """Of all commands so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def summary(values: list[float]) -> str:
    deviation = f", standard deviation {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"mean {statistics.mean(values):.4g} of n={len(values)} [{min(values):.4g} .. {max(values):.4g}]{deviation}"


if __name__ == "__main__":
    main()
