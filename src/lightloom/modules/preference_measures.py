"""Means over all pairs of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytorch_lightning as pl
from torch import Tensor, nn
from torchmetrics import MeanMetric

STAGES = ("val", "test")


class PairMeans(nn.ModuleDict):
    """A mean under each name for each stage; one to which nothing was added is not logged."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__({f"{stage}_{name}": MeanMetric() for stage in STAGES for name in names})
        self.names = names

    @property
    def logged(self) -> list[str]:
        return [f"{stage}/{name}" for stage in STAGES for name in self.names]

    def add(self, stage: str, **values: Tensor) -> None:
        """One number of each pair, (N,) each."""
        for name, value in values.items():
            if len(value):
                cast(MeanMetric, self[f"{stage}_{name}"]).update(value.float())

    def log(self, module: pl.LightningModule, stage: str) -> None:
        """Log the means of a stage, and begin anew."""
        for name in self.names:
            metric = cast(MeanMetric, self[f"{stage}_{name}"])
            if not (mean := metric.compute()).isnan():
                module.log(f"{stage}/{name}", mean)
            metric.reset()


def is_right(scores: Tensor) -> Tensor:
    """1 where the first of two scores (B, 2) is larger, 0 where the second is, 1/2 where none is: float32 (B,)."""
    return (scores[:, 0] - scores[:, 1]).sign() / 2 + 0.5


def in_true_order(scores: Tensor, rewards: Tensor) -> Tensor:
    """`is_right` of scores (B, 2) by what answers are worth, (B, 2), where that is known and differs: (N,), N <= B."""
    worth = rewards[:, 0] - rewards[:, 1]
    differs = worth.abs() > 0  # not so where it is NaN
    return is_right((scores * worth.sign()[:, None])[differs])
