"""Classification of a graph's nodes, of which some are labelled (Kipf & Welling 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, cast

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lightloom.core.errors import UserError
from lightloom.core.ranges import Natural, checked
from lightloom.modules.classifier import test_metrics
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class GraphNetwork(Protocol):
    """A module from features (N, F) and adjacency, CSR (N, N), to logits (N, K)."""

    def states(self, features: Tensor, adjacency: Tensor) -> list[Tensor]:
        """What each layer gives, (N, width) each; last the logits."""
        ...


class NodeClassifier(pl.LightningModule):
    """A network over a graph, and the measures of a classifier.

    A batch is a graph: features float (N, F), adjacency CSR (N, N), index int64 (n,) of the nodes that count, and their
    labels int64 (n,). The loss is their mean cross-entropy in nats, equation 10.
    """

    better: ClassVar[dict[str, str]] = {
        "loss": "min",
        "acc": "max",
        "f1": "max",
        "recall": "max",
        "calibration": "min",
    }
    test_outputs = ("logits", "hidden")
    confusion: MulticlassConfusionMatrix

    @checked
    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        num_classes: Natural,
        scheduler: Callable[..., Schedule] | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError(
                f"data.num_classes is {num_classes}: nodes without labels, or all of one class, cannot be classified; "
                f"choose a graph whose nodes have labels of two classes or more."
            )
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.tested = test_metrics(num_classes)
        self.confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.means = TrainingMeans("loss", "acc")

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        return [*self.means.logged, "val/loss", "val/acc", *(f"test/{name}" for name in self.tested)]

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """Logits (N, num_classes) of all nodes."""
        return cast(Tensor, self.network(features, adjacency))

    def states(self, features: Tensor, adjacency: Tensor) -> list[Tensor]:
        """What each layer gives, (N, width) each; last the logits."""
        return cast(GraphNetwork, self.network).states(features, adjacency)

    # --- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        features, adjacency, index, labels = batch
        logits = self(features, adjacency)[index]
        loss = cross_entropy(logits, labels)
        self.means.add(loss=loss, acc=accuracy(logits, labels))
        return loss

    # --- evaluation

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        features, adjacency, index, labels = batch
        logits = self(features, adjacency)[index].float()
        found = {"val/loss": cross_entropy(logits, labels), "val/acc": accuracy(logits, labels)}
        self.log_dict(found, batch_size=len(index), on_epoch=True)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """logits (n, K) of the nodes that count, and hidden, (n, width), what the last layer but one says of them."""
        features, adjacency, index, labels = batch
        *before, logits = (state[index].float() for state in self.states(features, adjacency))
        for name, metric in self._measures():
            if name == "loss":
                metric.update(cross_entropy(logits, labels), len(index))
            else:
                metric.update(logits, labels)
        self.confusion.update(logits, labels)
        return {"logits": logits, "hidden": before[-1] if before else logits}

    def on_test_epoch_start(self) -> None:
        self.confusion.reset()

    def on_test_epoch_end(self) -> None:
        self.log_dict({f"test/{name}": metric.compute() for name, metric in self._measures()})
        for _, metric in self._measures():
            metric.reset()

    def _measures(self) -> list[tuple[str, Metric]]:
        return cast(list[tuple[str, Metric]], list(self.tested.items()))

    # --- optimization

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of the nodes whose largest logit is that of their class; logits (n, K), labels (n,)."""
    return (logits.argmax(1) == labels).float().mean()
