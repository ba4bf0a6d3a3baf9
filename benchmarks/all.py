"""Every benchmark that needs no GPU, with few rounds: 20 minutes at most on two quiet cores.

    python benchmarks/all.py [--only throughput startup] [--into logs/bench]

What each prints goes to the screen and, with the date, the machine and the versions, into one file per benchmark. What
is worth keeping is copied into benchmarks/results by hand. A benchmark that fails is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Not here: elbo.py, samples.py, attention.py and scoreboard.py, which want finished runs, and accelerator.py, which
# wants a GPU.
COMMANDS = {
    "startup": ["startup.py", "--rounds", "3"],
    "augmentation-grey": ["augmentation.py", "grey", "--rounds", "5"],
    "augmentation-colour": ["augmentation.py", "colour", "--rounds", "5"],
    "image-folder": ["image_folder.py", "--rounds", "3"],
    "throughput": ["throughput.py", "--model", "mlp", "lenet", "--epochs", "4"],
    "throughput-resnet18": ["throughput.py", "--model", "resnet18", "--epochs", "3"],
    "wgan-gp": ["wgan_gp.py", "--epochs", "3", "--width", "64"],
    "biggan": ["biggan.py", "--epochs", "4"],
    "mean-average-precision": ["mean_average_precision.py", "--rounds", "3"],
    "guards": ["guards.py", "--blocks", "10"],
    "growth": ["growth.py", "--epochs", "2", "--plot", "growth.png"],
    "time-to-accuracy": ["time_to_accuracy.py", "--seeds", "2"],
    "console": ["console.py", "8"],
    "scaling": ["scaling.py"],
}

THREADS: dict[str, dict[str, str]] = {"time-to-accuracy": {}}  # all cores; the others are compared by CPU time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS), help="these benchmarks")
    parser.add_argument("--into", type=Path, default=ROOT / "logs/bench", help="the folder of the files")
    args = parser.parse_args()
    folder = args.into.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    failed = [name for name in args.only if not run(name, folder)]
    print(f"{len(args.only)} benchmarks in {(time.monotonic() - started) / 60:.1f} minutes, results in {folder}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(name: str, folder: Path) -> bool:
    """One benchmark into its file and onto the screen; did it succeed?"""
    script, *options = COMMANDS[name]
    command = [sys.executable, str(ROOT / "benchmarks" / script), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **THREADS.get(name, {"OMP_NUM_THREADS": "1"})}
    with (folder / f"{date.today()}-{name}.txt").open("w", encoding="utf-8") as file:
        for line in [*machine(), f"$ python benchmarks/{' '.join([script, *options])}"]:
            print(line, file=file)
        print(f"\n{name}", flush=True)
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            file.write(line)
    return process.wait() == 0


def machine() -> list[str]:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "pytorch-lightning"))
    return [
        f"{date.today()}",
        f"machine: {os.cpu_count()} cores, {processor()}{load}; {platform.system()}",
        f"Python {platform.python_version()}, {packages}",
        "",
    ]


def processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
