"""How long an input takes in each format, and how far its answers are from the model's: `benchmark=true` of export."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightloom.core.errors import UserError, message_of
from lightloom.core.screen import show_table
from lightloom.core.text import megabytes
from lightloom.exporting import steps
from lightloom.exporting.contract import Graph, several
from lightloom.exporting.formats import FORMATS, Run

log = logging.getLogger("lightloom")
Cost = tuple[float, float]
ROUNDS = 20  # in each, every format is asked once
MODEL = "the model"
HEADER = ("format", "ms an input", "CPU ms", "CPU to the model", "difference", "size")


def compare(graph: Graph, seed: int) -> None:
    """Print a row for the model itself and each format that it can be written as, on one random input.

    They take turns, so that a machine whose speed drifts slows all alike; all on the CPU, with torch's threads.
    """
    x = several(graph.draw(seed, graph.sizes()[0]))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        ways: dict[str, Run] = {MODEL: graph}
        sizes: dict[str, str] = {}
        for name, chosen in ((name, one) for name, one in FORMATS.items() if one.program):
            path = Path(folder) / f"model{chosen.suffix}"
            try:
                steps.write(graph, steps.choose_format(name), path, {})
            except UserError as error:
                log.info("%s", message_of(error))
                continue
            sizes[name] = megabytes(path.stat().st_size)
            ways[name] = chosen.open(path, graph)
        apart = {name: graph.difference(tuple(way(*x)), graph(*x)) for name, way in ways.items()}
        rows(measured(ways, x), apart, sizes)


def measured(ways: Mapping[str, Run], x: Sequence[Tensor]) -> dict[str, list[Cost]]:
    """Milliseconds of wall time and of the process's CPU time, of each round; the first is not counted."""
    taken: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way(*x)
            taken[name].append(((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
    return {name: costs[1:] for name, costs in taken.items()}


def rows(taken: Mapping[str, list[Cost]], apart: Mapping[str, float], sizes: Mapping[str, str]) -> None:
    """The table: medians, and the median of the ratios within a round."""
    shown = []
    for name, costs in taken.items():
        wall, cpu = (f"{statistics.median(column):.2f}" for column in zip(*costs, strict=True))
        ratio = statistics.median(a[1] / b[1] for a, b in zip(costs, taken[MODEL], strict=True))
        shown.append((name, wall, cpu, f"{ratio:.2f}", f"{apart[name]:.1e}", sizes.get(name, "")))
    show_table(HEADER, shown)
