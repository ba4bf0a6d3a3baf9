"""Read the metrics of runs, and summarise seeds by mean and spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from lightloom.core import cells


def new_values(path: Path, metric: str, seen: Collection[int]) -> Iterator[tuple[int, float]]:
    """(epochs that were trained, the metric then) from a run's metrics.csv, without the epochs `seen`."""
    if not path.is_file():
        return
    with cells.open_csv(path) as file:
        for row in cells.dicts(line for line in file if line.endswith("\n")):
            try:
                epoch, value = int(row["epoch"]) + 1, float(row[metric])
            except (KeyError, TypeError, ValueError):
                continue  # a row of other metrics
            if epoch not in seen and math.isfinite(value):
                yield epoch, value


def spread(values: Sequence[float]) -> str:
    """`mean ± standard deviation (n)`; one value alone as it is; no deviation of what is not finite."""
    if len(values) == 1:
        return f"{values[0]:.4g}"
    if not all(map(math.isfinite, values)):
        return f"{statistics.fmean(values):.4g} ({len(values)})"
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g} ({len(values)})"
