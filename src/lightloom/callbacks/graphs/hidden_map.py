"""A map of what a network says of nodes before it decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.callbacks.at_test import AtTest
from lightloom.callbacks.images.log import log_picture
from lightloom.core.figures import new_figure
from lightloom.core.text import line
from lightloom.ops.typed_trainer import classes_of

FILE = "hidden_map.png"
MOST_NAMES = 20  # of a legend
MOST_NODES = 20_000
States = tuple[Tensor, Tensor]  # hidden (n, width), labels (n,)


class HiddenMap(AtTest):
    """Writes hidden_map.png after a test: the two principal components of hidden states, a point for each node."""

    file, output, parts = FILE, "hidden", 4

    def taken(self, trainer: pl.Trainer, outputs: Any, batch: tuple[Tensor, ...], batch_idx: int) -> list[States]:
        """hidden (n, width) and labels (n,) of a batch of features, adjacency, index and labels."""
        return [(outputs["hidden"].cpu(), batch[3].cpu())]

    def write(self, trainer: pl.Trainer, kept: Sequence[States]) -> None:
        hidden, labels = (torch.cat(parts) for parts in zip(*kept, strict=True))
        chosen = torch.linspace(0, len(hidden) - 1, min(len(hidden), MOST_NODES)).long()
        points, shares = principal(hidden[chosen].double())
        self.folder.mkdir(parents=True, exist_ok=True)
        names = classes_of(trainer) or [str(k) for k in range(int(labels.max()) + 1)]
        draw(points, labels[chosen], names, shares).savefig(self.folder / FILE, dpi=120, bbox_inches="tight")
        log_picture(trainer, "test/hidden_map", self.folder / FILE)


def principal(states: Tensor, count: int = 2) -> tuple[Tensor, list[float]]:
    """The first principal components (n, count) of states (n, width), and the share of the variance that each has.

    The largest entry of an axis is positive. Fewer dimensions than `count` are filled up with 0.
    """
    centred = states - states.mean(0)
    values, axes = torch.linalg.eigh(centred.T @ centred)
    values, axes = values.flip(0)[:count].clamp(min=0), axes.flip(1)[:, :count]
    signs = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    points = centred @ (axes * signs)
    shares = (values / centred.square().sum().clamp(min=1e-30)).tolist()
    missing = count - points.shape[1]
    return torch.cat([points, points.new_zeros(len(points), missing)], 1), shares + [0.0] * missing


def draw(points: Tensor, labels: Tensor, names: Sequence[str], shares: Sequence[float]) -> Any:
    """points (n, 2), coloured by their classes, int64 (n,)."""
    figure = new_figure(figsize=(6, 5))
    axes = figure.add_subplot()
    colours = figure_colours(len(names))
    for k, name in enumerate(names):
        own = points[labels == k]
        axes.scatter(own[:, 0].numpy(), own[:, 1].numpy(), s=8, color=colours[k], label=line(name), linewidths=0)
    axes.set(xlabel=f"first component, {shares[0]:.0%} of the variance", ylabel=f"second, {shares[1]:.0%}")
    if len(names) <= MOST_NAMES:
        axes.legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def figure_colours(count: int) -> list[tuple[float, float, float]]:
    """Colours that differ in hue, each in [0, 1]."""
    import colorsys

    return [colorsys.hls_to_rgb(k / count, 0.35 + 0.2 * (k % 2), 0.7) for k in range(count)]
