"""Count the classes that a classifier predicts for generated images: a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from lightloom.core.cells import Writer, open_csv
from lightloom.core.figures import new_figure
from lightloom.core.text import line

MOST_LABELS = 30  # with more classes, the picture leaves the names out


def write_table(path: Path, counts: Tensor, classes: Sequence[str]) -> None:
    """counts: int64 (num_classes,)."""
    rows = [[name, n, n / int(counts.sum())] for name, n in zip(classes, counts.tolist(), strict=True)]
    with open_csv(path, "w") as file:
        Writer(file).write(["class", "count", "share"], *rows)


def draw_histogram(counts: Tensor, classes: Sequence[str], name: str):
    """A matplotlib figure: the share of each class among the generated images."""
    figure = new_figure(figsize=(min(2.5 + 0.42 * len(classes), 15), 3.5))
    axes = figure.add_subplot()
    axes.bar(range(len(classes)), (counts / counts.sum()).tolist())
    axes.axhline(1 / len(classes), color="black", linewidth=0.8, linestyle="--")
    axes.set(ylabel="share", title=f"{int(counts.sum())} generated images as {name} sees them")
    if len(classes) <= MOST_LABELS:
        axes.set_xticks(range(len(classes)), list(map(line, classes)), rotation=45, ha="right")
    return figure
