"""Detection: a network that finds boxes, and masks where it has them; its losses, and COCO's measures of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Share, checked
from lightloom.core.text import in_a_metric
from lightloom.metrics.detection import SUMMARY, BoxConfusion, Boxes, CocoPrecision
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.networks.detection.torchvision import check_frozen_statistics
from lightloom.ops.typed_trainer import classes_of
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

Batch = tuple[list[Tensor], list[Boxes]]
VALIDATED = ("map", "map50")


class Detector(pl.LightningModule):
    """A network of torchvision's convention (see networks/detection.py), which normalises and resizes by itself.

    Images are a list of float (3, H, W) in [0, 1]; targets a list of dicts: boxes (N, 4) xyxy in pixels, labels (N,)
    from 1, masks uint8 (N, H, W) where there are any. channels: of the data. min_score: of the detections that the
    confusion matrix counts and overlays show.

    Several processes train what one process trains where a loss divides by what an image has (RetinaNet) or by what all
    processes have together (YOLO; the R-CNNs, whose regions are drawn by the images' keys). torchvision's FCOS and SSD
    divide by the objects of the process's own images: their processes agree on the weights, which are not those of one
    process. Statistics of batches, and padding where images differ in size, are a process's own too. Evaluation is
    exact for all.
    """

    better: ClassVar[dict[str, str]] = {"loss": "min", **dict.fromkeys(("map", "map50", "map75", "mar", "mask"), "max")}
    test_outputs = ("detections",)

    @checked
    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory,
        num_classes: Count,
        scheduler: Callable[..., Schedule] | None = None,
        channels: Count = 3,
        min_score: Share = 0.5,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        self.masks = makes_masks(network)
        if channels != 3:
            raise UserError(f"data.channels is {channels}, but detectors look at colour images; set data.channels=3.")
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.num_classes, self.min_score = num_classes, min_score
        self.precisions = nn.ModuleDict(
            {"val": CocoPrecision(self.masks), "test": CocoPrecision(self.masks, per_class=True)}
        )
        self.confusion = BoxConfusion(num_classes, min_score=min_score)
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.means = TrainingMeans("loss", *network.losses)  # type: ignore[misc, arg-type]

    def setup(self, stage: str) -> None:
        if stage == "fit":
            check_frozen_statistics(self.network)
        data: Any = getattr(self.trainer, "datamodule", None)
        if self.masks and stage != "predict" and getattr(data, "has_masks", None) is False:
            raise UserError(
                f"{type(self.network).__name__} learns masks, but {data.name} has boxes only; choose a model of boxes "
                f"(model=faster_rcnn), or data with masks (data=digit_scenes)."
            )

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step; a test adds each class's map."""
        kinds = ("", "mask_") if self.masks else ("",)
        validated = [f"val/{kind}{name}" for kind in kinds for name in VALIDATED]
        return [*self.means.logged, *validated, *(f"test/{kind}{name}" for kind in kinds for name in SUMMARY)]

    def forward(self, images: list[Tensor], targets: list[Boxes] | None = None) -> Any:
        """A dict of losses in training, the network's detections in evaluation. images: (3, H, W) each."""
        try:
            return self.network(images, targets)
        except RuntimeError as error:
            if "Input and output sizes should be greater than 0" not in str(error):
                raise
            height, width = max((image.shape[1:] for image in images), key=lambda sides: max(sides) / min(sides))
            raise UserError(
                f"an image of {width} x {height} pixels is too thin for {type(self.network).__name__}: at the size "
                f"that it looks at no pixel of the short side is left; crop the image or leave it out."
            ) from error

    def detect(self, images: list[Tensor], targets: list[Boxes] | None = None) -> list[Boxes]:
        """boxes (N, 4), labels (N,) from 1, scores (N,) falling, masks uint8 (N, H, W) where the network makes any.

        One dict for each image, in its pixels; in evaluation mode. targets: of which the network gets what it looks at
        in evaluation too (proposals); truths it does not.
        """
        looks_at = getattr(self.network, "looks_at", ())
        given = [{name: t[name] for name in looks_at if name in t} for t in targets or ()] if looks_at else []
        return [_whole(found) for found in self(list(images), given or None)]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        if not self.masks:  # nothing learns from them, but the network would scale them with its images
            targets = [{name: value for name, value in t.items() if name != "masks"} for t in targets]
        try:
            losses = self(images, targets)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                f"batch norm in {type(self.network).__name__} cannot learn from batches of {len(images)}: a map of one "
                f"pixel has no statistics; set data.batch_size to 2 or more for each process."
            ) from error
        loss = torch.stack([value.float() for value in losses.values()]).sum()
        self.means.add(loss=loss, **losses)
        return loss

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]

    # --- evaluation: a step's outputs are its detections, for the callbacks that show them

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        return self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        outputs = self._evaluate("test", batch)
        self.confusion.update(outputs["detections"], batch[1])
        return outputs

    def predict_step(self, batch: Any, batch_idx: int) -> list[Boxes]:
        return self.detect(*batch[:2])

    def on_validation_epoch_end(self) -> None:
        found = self._measure("val")
        self.log_dict({name: found[name.removeprefix("val/")] for name in self.logged if name.startswith("val/")})

    def on_test_epoch_start(self) -> None:
        self.confusion.reset()

    def on_test_epoch_end(self) -> None:
        classes = classes_of(self.trainer)
        self.log_dict({f"test/{_named(name, classes)}": value for name, value in self._measure("test").items()})

    def _evaluate(self, stage: str, batch: Batch) -> dict[str, Any]:
        images, targets = batch
        detections = self.detect(images, targets)
        self.precisions[stage].update(detections, targets)  # type: ignore[operator]
        return {"detections": detections}

    def _measure(self, stage: str) -> dict[str, Tensor]:
        metric: CocoPrecision = self.precisions[stage]  # type: ignore[assignment]
        found = metric.compute()
        metric.reset()
        return {name: value.to(self.device, torch.float32) for name, value in found.items()}


def makes_masks(network: nn.Module) -> bool:
    """Has the network torchvision's mask head?"""
    return getattr(getattr(network, "roi_heads", None), "mask_head", None) is not None


def _whole(found: Boxes) -> Boxes:
    """A network's detections of one image in full precision; masks from probabilities to 0 and 1."""
    detections = {"boxes": found["boxes"].float(), "labels": found["labels"], "scores": found["scores"].float()}
    if "masks" in found:
        detections["masks"] = (found["masks"].squeeze(1) > 0.5).byte()
    return detections


def _named(name: str, classes: list[str]) -> str:
    """`map_of_3` by the class's name, in letters that every logger takes: `map_of_traffic_light`."""
    prefix, mark, label = name.partition("map_of_")
    if not mark or not 0 < int(label) <= len(classes):
        return name
    return prefix + mark + in_a_metric(classes[int(label) - 1])
