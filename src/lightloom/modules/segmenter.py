"""Semantic segmentation: a class for each pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, NotNegative, checked
from lightloom.core.text import in_a_metric
from lightloom.data.contract import offered
from lightloom.losses.segmentation import IGNORE, SegmentationLoss
from lightloom.metrics.segmentation import boundary_f1, iou_of_classes, of_confusion
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.networks.attention import Attention, add_attention
from lightloom.ops.torch_internals import leave_out_of_ddp
from lightloom.ops.typed_trainer import classes_of, typed
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

Evaluated = tuple[list[Tensor], list[Tensor]]
VALIDATED = ("loss", "miou", "pixel_acc")
TESTED = (*VALIDATED, "dice", "mean_acc", "boundary_f1")


class Segmenter(pl.LightningModule):
    """A network that gives logits at the size of its images, the normalisation of its input, a loss, and measures.

    Training batches: images float (B, C, H, W) in [0, 1], masks int64 (B, H, W), 255 where a pixel counts for nothing.
    In evaluation lists of images (C, h, w) and of masks (H, W) at their own size, which logits are enlarged to. mean,
    std: of each channel of the training images. auxiliary_weight: of the loss of each auxiliary head.

    Measures are of all pixels of a stage together (metrics/segmentation.py); only boundary_f1, of a test, is a mean
    over classes and images.
    """

    better: ClassVar[dict[str, str]] = {
        "loss": "min",
        **dict.fromkeys(("miou", "iou", "dice", "pixel", "mean", "boundary"), "max"),
    }
    test_outputs = ("masks",)
    mean: Tensor
    std: Tensor

    @checked
    def __init__(
        self,
        network: nn.Module,
        loss: SegmentationLoss,
        optimizer: OptimizerFactory,
        num_classes: Count,
        mean: Sequence[float],
        std: Sequence[float],
        scheduler: Callable[..., Schedule] | None = None,
        auxiliary_weight: NotNegative = 0.5,
        attention: Attention = "none",
        attention_at: str | Sequence[str] = "block",
        attention_stages: Sequence[Count] | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError(f"data.num_classes is {num_classes}: pixels of one class need no model; use data with two.")
        add_attention(network, attention, attention_at, attention_stages)
        self.network, self.loss, self.optimizer, self.scheduler = network, loss, optimizer, scheduler
        self.num_classes, self.auxiliary_weight = num_classes, auxiliary_weight
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1))
        leave_out_of_ddp(self, ["mean", "std"])
        confusion = {stage: MulticlassConfusionMatrix(num_classes, validate_args=False) for stage in ("val", "test")}
        self.matrices = nn.ModuleDict(cast(dict[str, nn.Module], confusion))
        self.losses = nn.ModuleDict({stage: MeanMetric() for stage in ("val", "test")})
        self.boundaries = MeanMetric()
        self.means = TrainingMeans("loss")

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step; a test adds each class's iou."""
        return [*self.means.logged, *(f"val/{name}" for name in VALIDATED), *(f"test/{name}" for name in TESTED)]

    @property
    def confusion(self) -> Metric:
        """Of a test: counts of pixels (num_classes, num_classes), rows the truth."""
        return cast(Metric, self.matrices["test"])

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes, H, W) for images in [0, 1]; in training a tuple with those of auxiliary heads."""
        return self.network((images - self.mean) / self.std)

    def segment(self, images: Sequence[Tensor], sizes: Sequence[Sequence[int]] | None = None) -> list[Tensor]:
        """Probabilities (num_classes, H, W) of each image (C, h, w), at these sizes (H, W), or their own."""
        sizes = sizes or [image.shape[-2:] for image in images]
        return [logits.float().softmax(0) for logits in self._logits(images, sizes)]

    # --- training

    def on_fit_start(self) -> None:
        if self.loss.median_frequency:
            shares = offered(typed(self.trainer).datamodule, "class_shares")
            if shares is None:
                raise UserError("model.loss.median_frequency=true: the data has no class_shares(); set class_weights.")
            self.loss.weigh(shares().to(self.device))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, masks = batch
        found = self(images)
        logits, *auxiliary = found if isinstance(found, tuple) else (found,)
        loss: Tensor = self.loss(logits, masks)
        self.means.add(loss=loss)
        return loss + self.auxiliary_weight * sum((self.loss(a, masks) for a in auxiliary), torch.zeros_like(loss))

    # --- evaluation

    def validation_step(self, batch: Evaluated, batch_idx: int) -> dict[str, list[Tensor]]:
        """masks: what was found, int64 (H, W) each, for the callbacks that show them."""
        return {"masks": self._evaluate("val", batch)}

    def test_step(self, batch: Evaluated, batch_idx: int) -> dict[str, list[Tensor]]:
        found = self._evaluate("test", batch)
        for mask, truth in zip(found, batch[1], strict=True):
            total, classes = boundary_f1(mask, truth, self.num_classes)
            if classes:
                self.boundaries.update(total / classes, classes)
        return {"masks": found}

    def on_validation_epoch_end(self) -> None:
        found = self._measure("val")
        self.log_dict({f"val/{name}": found[name] for name in VALIDATED})

    def on_test_epoch_start(self) -> None:
        self.confusion.reset()

    def on_test_epoch_end(self) -> None:
        matrix = self.confusion.compute()
        of_class = iou_of_classes(matrix).tolist()
        names = classes_of(self.trainer) or [str(k) for k in range(self.num_classes)]
        found = self._measure("test") | {"boundary_f1": self.boundaries.compute()}
        found |= {f"iou_of_{in_a_metric(n)}": v for n, v in zip(names, of_class, strict=True) if v == v}
        self.boundaries.reset()
        self.log_dict({f"test/{name}": torch.as_tensor(v, dtype=torch.float32) for name, v in found.items()})

    def _evaluate(self, stage: str, batch: Evaluated) -> list[Tensor]:
        images, masks = batch
        found = []
        for logits, truth in zip(self._logits(images, [mask.shape for mask in masks]), masks, strict=True):
            known = truth != IGNORE
            scores, labels = logits.float().flatten(1)[:, known.flatten()].T, truth[known]
            if len(labels):
                self.losses[stage].update(cross_entropy(scores, labels), len(labels))  # type: ignore[operator]
                self.matrices[stage].update(scores.argmax(1), labels)  # type: ignore[operator]
            found.append(logits.argmax(0))
        return found

    def _logits(self, images: Sequence[Tensor], sizes: Sequence[Sequence[int]]) -> list[Tensor]:
        """(num_classes, H, W) of each image; images of one size go through the network together."""
        if len({image.shape for image in images}) == 1:
            found = list(self(torch.stack(list(images))))
        else:
            found = [self(image[None])[0] for image in images]
        return [_at(logits, size) for logits, size in zip(found, sizes, strict=True)]

    def _measure(self, stage: str) -> dict[str, Tensor]:
        matrix, loss = cast(Metric, self.matrices[stage]), cast(Metric, self.losses[stage])
        found = {**of_confusion(matrix.compute()), "loss": loss.compute()}
        loss.reset()
        if stage == "val":
            matrix.reset()
        return {name: value.to(self.device, torch.float32) for name, value in found.items()}

    # --- optimization

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]


def _at(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (K, h, w) at (H, W)."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return interpolate(logits[None].float(), tuple(size), mode="bilinear", align_corners=False)[0]
