"""The YOLOs of lightning-bolts in the convention of networks/detection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import batched_nms, clip_boxes_to_image

from lightloom.core.ranges import Count, Share
from lightloom.integrations.bolts import load
from lightloom.networks.choices import one_of
from lightloom.networks.detection.torchvision import IMAGENET_MEAN, IMAGENET_STD, LONGEST, MOST, Boxes

VERSIONS = ("YOLOV4Tiny", "YOLOV4", "YOLOV4P6", "YOLOV5", "YOLOV7", "YOLOX")
PRIORS_OF = 416  # pixels: the image size that YOLOv4's prior shapes are meant for


class BoltsYolo(nn.Module):
    """Convention of networks/detection. version: one of VERSIONS; `options` go to that network.

    prior_shapes: (width, height) in pixels of an image of PRIORS_OF, scaled to `image_size`; None: the network's own.
    """

    losses = ("loss_overlap", "loss_confidence", "loss_class")

    def __init__(
        self,
        num_classes: Count,
        image_size: Count,
        version: str = "YOLOV4Tiny",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        prior_shapes: Sequence[Sequence[float]] | None = None,
        score_thresh: Share = 0.05,
        nms_thresh: Share = 0.45,
        **options: Any,
    ) -> None:
        super().__init__()
        one_of("version", version, VERSIONS, "model.network.version")
        if prior_shapes is not None:
            options["prior_shapes"] = [tuple(side * image_size / PRIORS_OF for side in shape) for shape in prior_shapes]
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.transform = GeneralizedRCNNTransform(image_size, round(LONGEST * image_size), list(mean), list(std))
        self.network = getattr(load("pl_bolts.models.detection"), f"{version}Network")(num_classes, **options)

    def forward(self, images: list[Tensor], targets: list[Boxes] | None = None) -> Any:
        sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
        batch, targets = self.transform(images, targets)
        if self.training:
            truth = [{"boxes": t["boxes"], "labels": t["labels"] - 1} for t in targets]  # bolts counts from 0
            _, losses, _ = self.network(batch.tensors, truth)
            return dict(zip(self.losses, torch.stack(losses).sum(0), strict=True))
        found, _, _ = self.network(batch.tensors)
        detections = [self.select(*one) for one in zip(torch.cat(found, 1), batch.image_sizes, strict=True)]
        return self.transform.postprocess(detections, batch.image_sizes, sizes)

    def select(self, found: Tensor, size: tuple[int, int]) -> Boxes:
        """The detections of one image, after non-maximum suppression within each class, best first.

        found: (P, 5 + C), boxes xyxy in pixels, then probabilities: of an object, and of each class.
        """
        scores = found[:, 4:5].float() * found[:, 5:].float()
        at, label = (scores > self.score_thresh).nonzero().unbind(1)
        score, boxes = scores[at, label], clip_boxes_to_image(found[at, :4].float(), size)
        kept = batched_nms(boxes, score, label, self.nms_thresh)[:MOST]
        return {"boxes": boxes[kept], "labels": label[kept] + 1, "scores": score[kept]}
