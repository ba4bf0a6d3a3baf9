"""How accuracy depends on the number of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.callbacks.at_test import AtTest
from lightloom.callbacks.images.log import log_picture
from lightloom.core.cells import Writer, open_csv
from lightloom.core.figures import new_figure

FILE = "accuracy_by_degree"
EDGES = (1, 2, 3, 4, 6, 11, 21)  # where groups of degrees begin; 0 is one of its own
Row = tuple[str, int, float]
Judged = tuple[Tensor, Tensor]  # degrees, and whether each node was right, (n,)


class AccuracyByDegree(AtTest):
    """Writes accuracy_by_degree.csv and .png after a test: by degrees the nodes and the share of right ones."""

    file, parts = f"{FILE}.png", 4

    def taken(self, trainer: pl.Trainer, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> list[Judged]:
        """Of a batch of features, adjacency (N, N), index (n,) and labels (n,), whose logits are (n, K)."""
        _, adjacency, index, labels = batch
        degrees = adjacency.crow_indices().diff()[index]
        return [(degrees.cpu(), (outputs["logits"].argmax(1) == labels).cpu())]

    def write(self, trainer: pl.Trainer, kept: Sequence[Judged]) -> None:
        rows = by_degree(*(torch.cat(parts) for parts in zip(*kept, strict=True)))
        self.folder.mkdir(parents=True, exist_ok=True)
        with open_csv(self.folder / f"{FILE}.csv", "w") as file:
            Writer(file).write(["neighbours", "nodes", "accuracy"], *((d, n, f"{a:.4f}") for d, n, a in rows))
        path = self.folder / f"{FILE}.png"
        draw(rows).savefig(path, dpi=120, bbox_inches="tight")
        log_picture(trainer, f"test/{FILE}", path)


def by_degree(degrees: Tensor, right: Tensor) -> list[Row]:
    """(degrees in words, nodes, accuracy) of each group that has any; degrees int64 (n,), right bool (n,)."""
    groups = torch.bucketize(degrees, torch.tensor(EDGES), right=True)
    starts, rows = (0, *EDGES), []
    for group in groups.unique().tolist():
        first, after = starts[group], starts[group + 1] if group + 1 < len(starts) else None
        words = f"{first} or more" if after is None else str(first) if after == first + 1 else f"{first} to {after - 1}"
        chosen = right[groups == group]
        rows.append((words, len(chosen), float(chosen.float().mean())))
    return rows


def draw(rows: Sequence[Row]) -> Any:
    """A bar for each group, with its nodes and the 95 % interval of a share of so many (Wilson 1927)."""
    figure = new_figure(figsize=(5.5, 3))
    axes = figure.add_subplot()
    shares = [share for _, _, share in rows]
    around = [wilson(share, nodes) for _, nodes, share in rows]
    reach = [[share - low for share, (low, _) in zip(shares, around, strict=True)]]
    reach.append([high - share for share, (_, high) in zip(shares, around, strict=True)])
    axes.bar(range(len(rows)), shares, yerr=reach, capsize=3, color="#4c72b0")
    axes.set_xticks(range(len(rows)), [f"{words}\n{nodes:,}" for words, nodes, _ in rows], fontsize=8)
    axes.set(xlabel="neighbours, and how many nodes have so many", ylabel="accuracy", ylim=(0, 1))
    return figure


def wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a probability of which `count` draws gave this share."""
    middle, spread = share + z**2 / (2 * count), z * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    scale = 1 + z**2 / count
    low, high = max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
    return min(low, share), max(high, share)  # rounded, an end may pass a share of 0 or 1
