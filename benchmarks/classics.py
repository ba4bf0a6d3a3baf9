"""Classic networks in small, tuned alike: three learning rates with one seed, then more seeds at the best; one table.

    python benchmarks/classics.py [--only lenet vgg] [--full] [--set trainer.max_epochs=5 ...]

The networks are the rows of scoreboard.yaml that say what they introduced, made so thin that a forward pass costs at
most LARGEST GFLOP; --full leaves them as in configs/model, --set gives all of them the same other options, a larger
budget above all. The rate is chosen by the accuracy on validation images.

Each run is `python src/train.py <options>` in a fork of this process, which has loaded the libraries, and has a folder
of its own below --into: a finished run is not repeated, one that was killed goes on from its checkpoint, and --until
begins no run after so many minutes. CPU minutes are those of a whole run, validation and test included.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import runpy
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from scoreboard import HERE, cell, write

from lightloom.config import compose

LARGEST = 0.025  # GFLOP of a forward pass of one image
RATE = "model.optimizer.lr"
RATES = ("1e-3", "3e-3", "1e-2")
SEEDS = (0, 1, 2)
LIBRARIES = ("timm", "torchvision", "torch.utils.tensorboard", "matplotlib.pyplot", "lightloom.engine.evaluate")
MARKS = ("<!-- classics: written by benchmarks/classics.py --page -->", "<!-- end of the classics -->")
Run = dict[str, Any]  # what results.json says, and cpu_seconds
Runs = dict[tuple[str, int], Run]  # by rate and seed


def main() -> None:
    board = rows()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=board, default=list(board), metavar="name", help="these networks")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="options of every run")
    parser.add_argument("--full", action="store_true", help="networks as wide as in configs/model")
    parser.add_argument("--until", type=float, default=float("inf"), metavar="minutes", help="begin no run after these")
    parser.add_argument("--into", type=Path, default=compose.ROOT / "logs/classics", help="the folder of the runs")
    parser.add_argument("--table", action="store_true", help="train nothing; the table of the runs there are")
    parser.add_argument("--page", action="store_true", help="write the table into docs/results.md as well")
    args = parser.parse_args()
    end = 0.0 if args.table else time.monotonic() + 60 * args.until
    folder = args.into.absolute() / slug(args.set, args.full)
    found: dict[str, Runs] = {}
    for name in args.only:
        found[name] = tune(options_of(board[name], args.set, args.full), folder / name, end)
        for (rate, seed), run in found[name].items():
            print(f"{name:12} lr {rate} seed {seed}  {figures(run)}", flush=True)
    networks = {name: options_of(board[name], args.set, args.full) for name in args.only}
    lines = table(board, networks, found)
    print("\n".join(["", *lines, *advice(board, found)]))
    if args.page:
        write(compose.ROOT / "docs/results.md", lines, MARKS)


def rows() -> dict[str, Any]:
    """What the scoreboard knows of each classic, by a short name."""
    board: Any = OmegaConf.to_container(OmegaConf.load(HERE / "scoreboard.yaml"))
    found = {name: row for name, row in board["rows"].items() if "introduced" in row}
    return {name.removeprefix("classic_"): row for name, row in found.items()}


def options_of(row: dict[str, Any], others: Sequence[str], full: bool) -> list[str]:
    """Of a row's runs, all but rate and seed."""
    thin = [o for o in row["options"] if not (full and "model.network." in o)]
    return [*(o for o in thin if not o.startswith(RATE)), *others]


def slug(others: Sequence[str], full: bool) -> str:
    """A folder's name for these options."""
    return re.sub(r"[^\w.=-]+", "-", "_".join([*(["full"] if full else []), *others])) or "small"


# --- runs -------------------------------------------------------------------------------------------------------------


def tune(options: Sequence[str], folder: Path, end: float) -> Runs:
    """Each rate with the first seed, then the others at the best; those begun before `end`, seconds of the clock."""
    found: Runs = {}
    for rate in RATES:
        add_run(found, options, folder, rate, SEEDS[0], end)
    if is_tuned(found):
        for seed in SEEDS[1:]:
            add_run(found, options, folder, best_rate(found), seed, end)
    return found


def best_rate(found: Runs) -> str:
    """That of the best accuracy on validation images, with the first seed; of equals the smallest."""
    return max(RATES, key=lambda rate: found[rate, SEEDS[0]]["best val/acc"])


def add_run(found: Runs, options: Sequence[str], folder: Path, rate: str, seed: int, end: float) -> None:
    """The run as it is on the disk, after training it where there is time."""
    run, name = folder / f"lr-{rate}" / f"seed-{seed}", f"{folder.name}-{rate}"
    if not (run / "results.json").is_file():
        if time.monotonic() >= end:
            return
        train([*options, f"{RATE}={rate}", f"seed={seed}", f"run_name={name}", "logger=csv"], run)
    seconds = run.with_suffix(".cpu").read_text(encoding="utf-8").split()
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found[rate, seed] = {**results, "cpu_seconds": sum(map(float, seconds))}


def train(options: Sequence[str], run: Path) -> None:
    """`python src/train.py` in a fork, into the folder `run`; beside it what it printed, and its CPU seconds."""
    for library in LIBRARIES:
        importlib.import_module(library)
    run.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    process = os.fork()
    if not process:
        os._exit(train_here([*options, f"hydra.run.dir={run}"], run.with_suffix(".txt")))
    _, status, usage = os.wait4(process, 0)
    with run.with_suffix(".cpu").open("a", encoding="utf-8") as file:
        print(f"{usage.ru_utime + usage.ru_stime:.2f}", file=file)
    if status:
        sys.exit(f"{run}: exit code {os.waitstatus_to_exitcode(status)}\n{run.with_suffix('.txt').read_text()}")


def train_here(arguments: Sequence[str], output: Path) -> int:
    """The exit code of train.py in this process, whose output goes to a file."""
    with output.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.argv = [str(compose.ROOT / "src/train.py"), *arguments]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}")
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    return 0


# --- table ------------------------------------------------------------------------------------------------------------


def table(board: dict[str, Any], networks: dict[str, list[str]], found: dict[str, Runs]) -> list[str]:
    """Markdown, a row for each network whose rate is known; below them the names of the others."""
    header = ["network", "what it brought", "parameters", "GFLOP", "rate", "test accuracy", "n", "CPU min of a run"]
    lines = [header, ["---"] * len(header)]
    for name, runs in found.items():
        if not is_tuned(runs):
            continue
        parameters, gflop = cost(networks[name])
        rate = best_rate(runs)
        chosen = [run for (used, _), run in runs.items() if used == rate]
        minutes = statistics.mean(run["cpu_seconds"] for run in runs.values()) / 60
        cells = [board[name]["what"], board[name]["introduced"], f"{parameters:,}", f"{gflop:.4f}", rate]
        cells += [cell([run["test/acc"] for run in chosen]), str(len(chosen)), f"{minutes:.2f}"]
        lines.append(cells)
    untuned = [board[name]["what"].partition(" (")[0] for name, runs in found.items() if not is_tuned(runs)]
    rest = ["", f"Not trained yet: {', '.join(untuned)}."] if untuned else []
    return [*("| " + " | ".join(line) + " |" for line in lines), *rest]


def is_tuned(runs: Runs) -> bool:
    """Has each rate had its run?"""
    return all((rate, SEEDS[0]) in runs for rate in RATES)


def advice(board: dict[str, Any], found: dict[str, Runs]) -> list[str]:
    """One line for each row of the scoreboard that has another rate than the best one."""
    complete = {name: best_rate(runs) for name, runs in found.items() if is_tuned(runs)}
    return [
        f"{name}: {rate} is best; set it in scoreboard.yaml"
        for name, rate in complete.items()
        if f"{RATE}={rate}" not in board[name]["options"]
    ]


def cost(options: Sequence[str]) -> tuple[int, float]:
    """Parameters, and GFLOP of a forward pass of one image, two for each multiplication and addition."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from lightloom.config.foreign import plain
    from lightloom.config.instantiate import build

    cfg = compose.without_hydra(compose.compose("train", options))
    size = (1, cfg.data.channels, cfg.data.image_size, cfg.data.image_size)
    with torch.device("meta"):
        network, images = build(plain(cfg.model)["network"], "model.network").eval(), torch.empty(size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() / 1e9


def figures(run: Run) -> str:
    names = {"best val/acc": "val", "test/acc": "test", "cpu_seconds": "CPU s"}
    return "  ".join(f"{short} {run[name]:.4g}" for name, short in names.items())


if __name__ == "__main__":
    main()
