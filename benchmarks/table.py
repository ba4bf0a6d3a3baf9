"""The test results of several runs as a table: one row for each model and data set, mean and spread over the seeds.

    python benchmarks/table.py <run folder> ... [--metrics test/frechet_lenet test/recall_lenet]

A cell is the mean; with several runs of a name, ± half the distance from the smallest to the largest.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

from omegaconf import OmegaConf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--metrics", nargs="+", default=["test/acc"])
    args = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for run in args.runs:
        found[OmegaConf.load(run / "config.yaml").run_name].append(json.loads((run / "results.json").read_text()))
    header = ["run", "n", *args.metrics, "epochs", "steps", "minutes"]
    rows = [[name, str(len(runs)), *cells(runs, args.metrics)] for name, runs in sorted(found.items())]
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")


def cells(runs: list[dict[str, float]], metrics: list[str]) -> list[str]:
    figures = [cell([run[m] for run in runs if m in run]) for m in metrics]
    counts = [str(runs[0]["epochs"]), str(runs[0]["steps"])]
    return [*figures, *counts, f"{statistics.mean(run['train_seconds'] for run in runs) / 60:.1f}"]


def cell(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3g}{spread}"


if __name__ == "__main__":
    main()
