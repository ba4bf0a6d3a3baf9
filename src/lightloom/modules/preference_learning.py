"""What all that is learned from pairs does alike, and the means over all pairs of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import pytorch_lightning as pl
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lightloom.data.preferences.answered import Pairs
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

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


class PairLearner(pl.LightningModule):
    """A module learns from batches of `Pairs`; a kind says what is measured of them."""

    better: ClassVar[dict[str, str]] = {"loss": "min", "acc": "max", "true_acc": "max"}
    figures: ClassVar[tuple[str, ...]] = ("loss", "acc", "true_acc")  # the names of what is measured

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None,
    ) -> None:
        super().__init__()
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.measured, self.means = PairMeans(self.figures), TrainingMeans("loss", "acc")

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, *self.measured.logged]

    def measures(self, batch: Pairs) -> dict[str, Tensor]:
        """Under each name a number of each pair of which it is known, (N,)."""
        raise NotImplementedError

    def validation_step(self, batch: Pairs, batch_idx: int) -> None:
        self.measured.add("val", **self.measures(batch))

    def test_step(self, batch: Pairs, batch_idx: int) -> None:
        self.measured.add("test", **self.measures(batch))

    def on_validation_epoch_end(self) -> None:
        self.measured.log(self, "val")

    def on_test_epoch_end(self) -> None:
        self.measured.log(self, "test")

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]


def is_right(scores: Tensor) -> Tensor:
    """1 where the first of two scores (B, 2) is larger, 0 where the second is, 1/2 where none is: float32 (B,)."""
    return (scores[:, 0] - scores[:, 1]).sign() / 2 + 0.5


def in_true_order(scores: Tensor, rewards: Tensor) -> Tensor:
    """`is_right` of scores (B, 2) by what answers are worth, (B, 2), where that is known and differs: (N,), N <= B."""
    worth = rewards[:, 0] - rewards[:, 1]
    differs = worth.abs() > 0  # not so where it is NaN
    return is_right((scores * worth.sign()[:, None])[differs])
