"""Several answers about an image: which labels it has, or numbers that were measured."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Natural, checked
from lightloom.core.text import in_a_metric
from lightloom.metrics.multilabel import MIDDLE, Gathered, average_precision, best_thresholds, f1
from lightloom.modules.classifier import head_first
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.preprocessing import settle_preprocessing
from lightloom.modules.training_means import TrainingMeans
from lightloom.networks.initialization import Init, initialize
from lightloom.ops.torch_internals import leave_out_of_ddp
from lightloom.ops.typed_trainer import classes_of
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

Batch = tuple[Tensor, Tensor]
STAGES = ("val", "test")


class TargetModule(pl.LightningModule):
    """A network with an output for each target, the normalisation of its input, a loss, and measures.

    Batches: images float (B, C, H, W) in [0, 1], targets float (B, num_targets). head_epochs: in which the last layer
    learns, and nothing else. mean, std: of each channel; null in a configuration: those of the network's weights.
    """

    better: ClassVar[dict[str, str]]
    measured: ClassVar[Sequence[str]]
    same_everywhere: ClassVar[Sequence[str]] = ("mean", "std")  # buffers that processes need not exchange
    mean: Tensor
    std: Tensor

    @checked
    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        num_targets: Count,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        scheduler: Callable[..., Schedule] | None = None,
        init: Init = "default",
        head_epochs: Natural = 0,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        initialize(network, init)
        self.network, self.optimizer, self.scheduler, self.num_targets = network, optimizer, scheduler, num_targets
        groups = OptimizerGroups.of(optimizer_groups)
        self.optimizer_groups = head_first(network, groups, head_epochs) if head_epochs else groups
        self.register_buffer("mean", torch.tensor(list(mean or [0.0])).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std or [1.0])).view(-1, 1, 1))
        leave_out_of_ddp(self, self.same_everywhere)
        self.gathered = nn.ModuleDict({stage: Gathered() for stage in STAGES})
        self.means = TrainingMeans("loss")

    @staticmethod
    def settle_options(options: Any, begun: Any, cfg: Any) -> None:
        """A mean, std, image size or crop that is null is that of the network's weights: write it down."""
        settle_preprocessing(options, cfg.data)

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """A scalar, of outputs of the network and targets, (B, num_targets) each."""

    @abstractmethod
    def estimate(self, images: Tensor) -> Tensor:
        """What is predicted of images (B, C, H, W) in [0, 1], (B, num_targets)."""

    @abstractmethod
    def measures(self, stage: str, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Of all outputs and targets of an evaluation, (N, num_targets) each."""

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step; a test adds those of each target."""
        return [*self.means.logged, *(f"{stage}/{name}" for stage in STAGES for name in self.measured)]

    def forward(self, images: Tensor) -> Tensor:
        """What the network says, (B, num_targets), of images in [0, 1]."""
        return self.network((images - self.mean) / self.std)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(self(batch[0]), batch[1])
        self.means.add(loss=loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._gathered("val").update(self(batch[0]), batch[1])

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._gathered("test").update(self(batch[0]), batch[1])

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def _gathered(self, stage: str) -> Gathered:
        return cast(Gathered, self.gathered[stage])

    def _log(self, stage: str) -> None:
        outputs, targets = self._gathered(stage).compute()
        found = {"loss": self.loss(outputs, targets), **self.measures(stage, outputs, targets)}
        self._gathered(stage).reset()
        self.log_dict({f"{stage}/{name}": value.to(self.device, torch.float32) for name, value in found.items()})

    def _of_each(self, measure: str, values: Tensor) -> dict[str, Tensor]:
        """Named after the targets; those that are not known (NaN) are left out."""
        names = classes_of(self.trainer) or [str(k) for k in range(self.num_targets)]
        named = zip(names, values, strict=True)
        return {f"{measure}_of_{in_a_metric(name)}": value for name, value in named if value == value}

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]


class Tagger(TargetModule):
    """Which labels an image has, any number of them: a binary cross-entropy for each label, in nats, their mean.

    map: the mean over labels of average precision. f1_macro: that of F1 at `thresholds`, one for each label, which each
    validation sets where its F1 is highest; so val/f1_macro is the best possible, and test/f1_macro is none's choice.
    exact: the share of images whose labels are all right.
    """

    better: ClassVar[dict[str, str]] = {"loss": "min", **dict.fromkeys(("map", "f1", "exact", "ap"), "max")}
    measured = ("loss", "map", "f1_macro", "exact")
    same_everywhere = ("mean", "std", "thresholds")
    thresholds: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register_buffer("thresholds", torch.full((self.num_targets,), MIDDLE))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(outputs.float(), targets)

    def estimate(self, images: Tensor) -> Tensor:
        """The probability of each label."""
        return self(images).float().sigmoid()

    def measures(self, stage: str, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        scores = outputs.sigmoid()
        if stage == "val" and not self.trainer.sanity_checking:
            self.thresholds.copy_(best_thresholds(scores, targets))
        found = (scores >= self.thresholds).float()
        precision = average_precision(scores, targets)
        whole = {
            "map": precision.nanmean(),
            "f1_macro": f1(found, targets).nanmean(),
            "exact": (found == targets).all(1).float().mean(),
        }
        return whole | (self._of_each("ap", precision) if stage == "test" else {})


class Regressor(TargetModule):
    """Numbers, as the data has them. The network gives them in standard deviations from the mean of the training
    images, and the loss is the mean squared error there.

    r2: one less the share of the variance that is left, the mean over targets. rmse, mae: root of the mean squared
    error, and mean absolute error, in units of the data; of several targets those of each, in a test.
    """

    better: ClassVar[dict[str, str]] = {"loss": "min", "r2": "max", "rmse": "min", "mae": "min"}
    measured = ("loss", "r2")
    same_everywhere = ("mean", "std", "target_mean", "target_std")
    target_mean: Tensor
    target_std: Tensor

    def __init__(self, target_mean: Sequence[float], target_std: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        if not len(target_mean) == len(target_std) == self.num_targets:
            raise UserError(
                f"model.target_mean and target_std have {len(target_mean)} and {len(target_std)} values for "
                f"{self.num_targets} targets; give one for each."
            )
        self.register_buffer("target_mean", torch.tensor(list(target_mean)))
        self.register_buffer("target_std", torch.tensor(list(target_std)))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mse_loss(outputs.float(), (targets - self.target_mean) / self.target_std)

    def estimate(self, images: Tensor) -> Tensor:
        """The numbers, in units of the data."""
        return self._in_units(self(images).float())

    def measures(self, stage: str, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        errors = self._in_units(outputs) - targets
        squares = errors.square().mean(0)
        spread = (targets - targets.mean(0)).square().mean(0)
        r2 = 1 - squares / spread
        whole = {"r2": torch.where(spread > 0, r2, torch.nan).nanmean()}
        if stage != "test":
            return whole
        root, absolute = squares.sqrt(), errors.abs().mean(0)
        return whole | self._of_each("rmse", root) | self._of_each("mae", absolute)

    def _in_units(self, outputs: Tensor) -> Tensor:
        return outputs * self.target_std + self.target_mean
