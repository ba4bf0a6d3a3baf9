"""Classification: softmax cross-entropy on a network's logits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassRecall,
)

from lightloom.core.errors import UserError
from lightloom.core.ranges import BelowOne, Count, Natural, NotNegative, Positive, checked
from lightloom.data import contract
from lightloom.data.subset import images_of
from lightloom.losses.classification import CrossEntropy, balanced_weights, class_counts
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.preprocessing import settle_preprocessing
from lightloom.modules.tta import Views, mean_logits
from lightloom.networks.attention import Attention, add_attention
from lightloom.networks.dropconnect import add_drop_connect
from lightloom.networks.embedding import Embedding
from lightloom.networks.heads import head_names, rest_of
from lightloom.networks.initialization import Init, initialize
from lightloom.networks.keyed_dropout import key_dropout, keyed_dropout
from lightloom.networks.whitening import Whitening
from lightloom.ops.torch_internals import CURRENT_HOOK, leave_out_of_ddp
from lightloom.ops.typed_trainer import typed
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

log = logging.getLogger("lightloom")
AUXILIARY_WEIGHT = 0.3  # of each auxiliary classifier's loss (Szegedy et al. 2015, section 5)
WHITENED = 1000  # training images whose patches a Whitening layer is fitted to


class Classifier(pl.LightningModule):
    """A network, the normalisation of its input, and the measures of a classifier.

    Images are float (B, C, H, W) in [0, 1]; labels are int64 (B,), or float (B, num_classes) where images are mixed.
    Without mean and std the network gets its input as it is, such as ids of texts, int64 (B, T).
    mean, std: of each channel of the training images; null in a configuration stands for those of the network's
    weights. bias_lr: learning rate of biases and norms, as a multiple of the
    optimizer's (Page 2019). channels_last: memory layout (B, H, W, C), which most convolutions prefer. test_views: over
    which an evaluation averages the logits. compile: let torch.compile specialise the network.
    class_weights: of the training loss, one for each class, or balanced: the rarer a class, the more. focal_gamma: how
    little samples count that are right already (Lin et al. 2017). head_epochs: in which the layers that give the logits
    learn, and nothing else; then all do.
    What dropout drops of a text in training is drawn for that text, the same whatever its batch: see `keyed_dropout`.
    A Whitening layer is fitted to training images when the first fit starts, an Embedding filled with given vectors.
    """

    better: ClassVar[dict[str, str]] = {
        "loss": "min",
        "acc": "max",
        "f1": "max",
        "recall": "max",
        "calibration": "min",
    }
    test_outputs = ("logits",)
    step_key: int | None = None
    mean: Tensor
    std: Tensor
    metrics: nn.ModuleDict
    confusion: MulticlassConfusionMatrix

    @checked
    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        num_classes: Natural,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        scheduler: Callable[..., Schedule] | None = None,
        label_smoothing: BelowOne = 0.0,
        init: Init = "default",
        attention: Attention = "none",
        attention_at: str | Sequence[str] = "block",
        attention_stages: Sequence[Count] | None = None,
        drop_connect: BelowOne = 0.0,
        bias_lr: Positive = 1.0,
        channels_last: bool = False,
        test_views: Views = "none",
        compile: bool = False,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
        head_epochs: Natural = 0,
        class_weights: Literal["balanced"] | Sequence[Positive] | None = None,
        focal_gamma: NotNegative = 0.0,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError(
                f"data.num_classes is {num_classes}: what has no labels, or one class only, cannot be classified; "
                f"choose data with two classes or more, or a model that needs no labels (model=vae, model=dcgan)."
            )
        initialize(network, init)
        add_attention(network, attention, attention_at, attention_stages)
        add_drop_connect(network, drop_connect)
        key_dropout(network)
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.num_classes, self.class_weights = num_classes, class_weights
        self.loss = CrossEntropy(label_smoothing, focal_gamma, given_weights(class_weights, num_classes))
        groups = OptimizerGroups.of(optimizer_groups, bias_lr)
        self.optimizer_groups = head_first(network, groups, head_epochs) if head_epochs else groups
        self.channels_last, self.test_views, self.is_normalised = channels_last, test_views, bool(mean or std)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(list(mean or [0.0])).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std or [1.0])).view(-1, 1, 1))
        leave_out_of_ddp(self, ["mean", "std", "loss.weights"])
        if compile:
            network.compile()  # in place: the state_dict keeps its keys
        self.metrics = nn.ModuleDict({"val": val_metrics(num_classes), "test": test_metrics(num_classes)})
        self.confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.sums = RunningTotals(torch.zeros(3))

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> None:
        """Raise UserError where `init` would draw the network's given weights anew."""
        network, init = options.get("network"), options.get("init", "default")
        given = isinstance(network, Mapping) and (network.get("pretrained") or network.get("checkpoint"))
        if given and init != "default":
            raise UserError(f"model.init={init} would draw the pretrained weights anew; set model.init=default.")

    @staticmethod
    def settle_options(options: Any, begun: Any, cfg: Any) -> None:
        """A mean, std, image size or crop that is null is that of the network's weights: write it down."""
        settle_preprocessing(options, cfg.data)

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes each of the 40 hooks of a step here; nn.Module would look for parameters in their names.
        if name == CURRENT_HOOK:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        evaluated = [f"{stage}/{name}" for stage in self.metrics for name in self._measures(stage)]
        return ["train/loss", "train/acc", "train/lr", *evaluated]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) for images in [0, 1], or what else the network takes; a tuple with the auxiliary ones
        while a GoogLeNet trains."""
        return self.network(self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if not self.is_normalised:
            return images
        return (images - self.mean).div_(self.std)  # one allocation, which is most of the cost

    # --- training

    def on_fit_start(self) -> None:
        if self.class_weights == "balanced":
            labels = contract.training_labels(typed(self.trainer).datamodule)
            self.loss.weights = balanced_weights(class_counts(labels, self.num_classes)).to(self.device)
        for layer in self.network.modules():
            if isinstance(layer, Whitening) and not layer.fitted:
                layer.fit(self._normalised(images) for images, _ in images_of(self.trainer, "train", WHITENED, 100))
            elif isinstance(layer, Embedding) and not layer.filled:
                fill(layer, contract.offered(typed(self.trainer).datamodule, "word_vectors"))

    def on_train_start(self) -> None:
        self.sums = RunningTotals(self.sums.values().to(self.device))

    def on_train_epoch_start(self) -> None:
        self.sums = RunningTotals(torch.zeros(3, device=self.device))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        with keyed_dropout(self.network, self.step_key, images):
            logits, auxiliary = _split(self(images))
        loss = self.loss(logits, labels)
        self.sums.add(loss.detach(), logits.detach(), labels)
        return loss + AUXILIARY_WEIGHT * sum(self.loss(a, labels) for a in auxiliary) if auxiliary else loss

    def on_train_epoch_end(self) -> None:
        loss, correct, count = self._sums_of_all().sum(0)
        if not torch.isfinite(loss):
            raise UserError(
                f"The training loss is {float(loss)} in epoch {self.current_epoch + 1}; lower model.optimizer.lr or "
                f"set trainer.gradient_clip_val. The checkpoints of the epochs before are kept."
            )
        rate = self.trainer.optimizers[0].param_groups[-1]["lr"]  # of what decays
        self.log_dict({"train/loss": loss / count, "train/acc": correct / count, "train/lr": rate})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["train_sums"] = self._sums_of_all().cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        sums = checkpoint["train_sums"]  # of each process
        if len(sums) == self._processes():
            self.sums = RunningTotals(sums[self.global_rank])
        elif self.global_rank == 0:
            self.sums = RunningTotals(sums.sum(0))

    def _processes(self) -> int | None:
        """Of the run; None outside one."""
        try:
            return self.trainer.world_size
        except RuntimeError:
            return None

    def _sums_of_all(self) -> Tensor:
        """(processes, 3)."""
        return cast(Tensor, self.all_gather(self.sums.values())).view(-1, 3)

    # --- evaluation

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """logits (B, num_classes), for the callbacks that show them."""
        logits = self._evaluate("test", batch)
        self.confusion.update(logits, batch[1])
        return {"logits": logits}

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Class probabilities (B, num_classes)."""
        return mean_logits(self, batch[0], self.test_views).softmax(1)

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def on_test_epoch_start(self) -> None:
        self.confusion.reset()

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _evaluate(self, stage: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        logits = mean_logits(self, images, self.test_views)
        for name, metric in self._measures(stage).items():
            if name == "loss":
                metric.update(cross_entropy(logits, labels), len(images))
            else:
                metric.update(logits, labels)
        return logits

    def _log_metrics(self, stage: str) -> None:
        metrics = self._measures(stage)
        self.log_dict({f"{stage}/{name}": metric.compute() for name, metric in metrics.items()})
        for metric in metrics.values():
            metric.reset()

    def _measures(self, stage: str) -> dict[str, Metric]:
        return dict(cast(nn.ModuleDict, self.metrics[stage]).items())  # type: ignore[arg-type]

    # --- optimization

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return freezing(self.optimizer_groups)


class RunningTotals:
    """Loss, correct predictions and sample counts of the epoch so far."""

    def __init__(self, values: Tensor) -> None:
        loss, correct, images = values.clone().unbind()
        self.loss, self.correct, self.images = loss, correct, int(images)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """A batch: its mean loss, logits (B, num_classes), labels as the module takes them."""
        hard = labels if labels.ndim == 1 else labels.argmax(1)
        self.loss.add_(loss, alpha=len(labels))
        self.correct.add_((logits.argmax(1) == hard).sum())
        self.images += len(labels)

    def values(self) -> Tensor:
        """The state (3,) from which `RunningTotals` is restored."""
        return torch.stack([self.loss, self.correct, torch.full_like(self.loss, self.images)])


def fill(layer: Embedding, offered: Callable[[], tuple[Tensor, Tensor] | None] | None) -> None:
    """Begin with the vectors of words that the data has, if it has some; one line says how many."""
    found = offered() if offered else None
    if found is not None:
        layer.fill(*found)
        log.info("%d of %d ids begin with a given vector.", len(found[0]), layer.vectors.num_embeddings)


def given_weights(weights: str | Sequence[float] | None, num_classes: int) -> Tensor | None:
    """As a tensor (num_classes,); None where there are none, or none yet."""
    if weights is None or isinstance(weights, str):
        return None
    if len(weights) != num_classes:
        raise UserError(f"model.class_weights has {len(weights)} values for {num_classes} classes; give one for each.")
    return torch.tensor(list(weights))


def head_first(network: nn.Module, groups: OptimizerGroups, epochs: int) -> OptimizerGroups:
    """The groups with all but the network's head frozen for so many epochs."""
    if groups.freeze:
        raise UserError(
            f"model.head_epochs={epochs} freezes all but the head, and model.optimizer_groups.freeze names "
            f"{', '.join(groups.freeze)}; set one of them."
        )
    rest = [f"network.{name}" for name in rest_of(network, head_names(network))]
    return replace(groups, freeze=rest, unfreeze_at_epoch=epochs)


def _split(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    return (output, ()) if isinstance(output, Tensor) else (output[0], output[1:])


def val_metrics(num_classes: int) -> nn.ModuleDict:
    """Mean loss in nats, top-1 accuracy, and the means over classes of F1 and of recall (balanced accuracy)."""
    return nn.ModuleDict(
        {
            "loss": MeanMetric(),
            "acc": MulticlassAccuracy(num_classes, average="micro", validate_args=False),
            "f1_macro": MulticlassF1Score(num_classes, average="macro", validate_args=False),
            "recall_macro": MulticlassRecall(num_classes, average="macro", validate_args=False),
        }
    )


def test_metrics(num_classes: int) -> nn.ModuleDict:
    """Also top-5 where there are more than five classes, and expected calibration error (15 bins)."""
    metrics = val_metrics(num_classes)
    if num_classes > 5:
        metrics["acc_top5"] = MulticlassAccuracy(num_classes, average="micro", top_k=5, validate_args=False)
    metrics["calibration_error"] = MulticlassCalibrationError(num_classes, n_bins=15, validate_args=False)
    return metrics
