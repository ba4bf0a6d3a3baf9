"""YOLO without anchors: a decoupled head on three scales (Ge et al. 2021, YOLOX, arXiv:2107.08430).

Each point of a map predicts one box, whether there is an object, and its class. Which points learn which truth is
decided by SimOTA (section 2, after Ge et al. 2021, OTA, arXiv:2103.14259). Boxes learn by generalised IoU
(Rezatofighi et al. 2019, arXiv:1902.09630); classes learn the IoU of their box (section 2: IoU-aware).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image, generalized_box_iou_loss

from lightloom.core.ranges import Count, Share
from lightloom.networks.blocks import ConvBlock, Norm
from lightloom.networks.detection.torchvision import IMAGENET_MEAN, IMAGENET_STD, LONGEST, MOST, Boxes, Pyramid
from lightloom.ops.collectives import shared_mean

RADIUS = 2.5  # strides: points this near to a truth's centre may learn it
CANDIDATES = 10  # the best overlaps of a truth; their sum is the number of points it gets (dynamic k)
BOX_WEIGHT = 5.0  # of the box loss, as in the authors' code; 3 of a box's cost for SimOTA
PRIOR = 0.01  # of an object at a point, before training (Lin et al. 2017, section 4.1)


class Yolo(nn.Module):
    """The convention of networks/detection/torchvision.py: images (3, H, W) in, losses or detections out.

    image_size: pixels of an image's short side.

    norm: of the head. The scales share it, so statistics of batches would be a mixture that no scale has.
    """

    losses = ("loss_box", "loss_objectness", "loss_class")

    def __init__(
        self,
        num_classes: Count,
        image_size: Count,
        backbone: Pyramid,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        norm: Norm = "group",
        score_thresh: Share = 0.05,
        nms_thresh: Share = 0.65,
    ) -> None:
        super().__init__()
        self.num_classes, self.score_thresh, self.nms_thresh = num_classes, score_thresh, nms_thresh
        self.detections_per_img = MOST
        self.transform = GeneralizedRCNNTransform(image_size, round(LONGEST * image_size), list(mean), list(std))
        self.backbone = backbone
        self.head = Head(backbone.out_channels, num_classes, norm)

    def forward(self, images: list[Tensor], targets: list[Boxes] | None = None) -> dict[str, Tensor] | list[Boxes]:
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        batch, targets = self.transform(images, targets)
        boxes, objectness, classes, points = self.head(self.backbone(batch.tensors), batch.tensors.shape[-1])
        if self.training:
            return losses(boxes, objectness, classes, points, targets)
        detections = [self.select(*one) for one in zip(boxes, objectness, classes, batch.image_sizes, strict=True)]
        resized: list[Boxes] = self.transform.postprocess(detections, batch.image_sizes, sizes)
        return resized

    def select(self, boxes: Tensor, objectness: Tensor, classes: Tensor, size: tuple[int, int]) -> Boxes:
        """The detections (N,) of one image after non-maximum suppression within each class, best first.

        boxes (P, 4) xyxy, objectness (P,), classes (P, C): predictions, the latter two as logits. size: (H, W).
        """
        scores = (objectness.float().sigmoid()[:, None] * classes.float().sigmoid()).sqrt()
        at, label = (scores > self.score_thresh).nonzero().unbind(1)
        score, boxes = scores[at, label], clip_boxes_to_image(boxes[at], size)
        kept = batched_nms(boxes, score, label, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": boxes[kept], "labels": label[kept] + 1, "scores": score[kept]}


class Head(nn.Module):
    """Two branches of two convolutions, shared by the scales: boxes and objectness, classes (YOLOX, figure 2)."""

    def __init__(self, channels: int, num_classes: int, norm: str) -> None:
        super().__init__()
        block = partial(ConvBlock, channels, channels, 3, norm=norm)
        self.box_branch, self.class_branch = (nn.Sequential(block(), block()) for _ in range(2))
        self.box = nn.Conv2d(channels, 4, 1)
        self.objectness = nn.Conv2d(channels, 1, 1)
        self.classes = nn.Conv2d(channels, num_classes, 1)
        for layer in (self.objectness, self.classes):
            nn.init.constant_(layer.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, maps: dict[str, Tensor], image_width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """boxes (B, P, 4) xyxy, objectness (B, P), classes (B, P, C), logits, for P points (P, 3): x, y, stride."""
        found = []
        for features in maps.values():
            stride = image_width / features.shape[-1]
            by_box, by_class = self.box_branch(features), self.class_branch(features)
            points = grid(features.shape[-2], features.shape[-1], stride, features.device)
            parts = [
                x.flatten(2).transpose(1, 2)
                for x in (self.box(by_box), self.objectness(by_box), self.classes(by_class))
            ]
            found.append((decode(parts[0].float(), points), parts[1][..., 0], parts[2], points))
        boxes, objectness, classes, all_points = zip(*found, strict=True)
        return torch.cat(boxes, 1), torch.cat(objectness, 1), torch.cat(classes, 1), torch.cat(all_points)


def grid(height: int, width: int, stride: float, device: torch.device) -> Tensor:
    """The centres of a map's cells in pixels, with the stride: (height * width, 3)."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    centres = (torch.stack([x, y], 2).flatten(0, 1) + 0.5) * stride
    return torch.cat([centres, torch.full_like(centres[:, :1], stride)], 1)


def decode(offsets: Tensor, points: Tensor) -> Tensor:
    """Boxes xyxy, (B, P, 4), of centres p + stride * t and sides 2 stride * exp(t) (YOLOX, section 2, anchor-free)."""
    stride = points[:, 2:]
    centre = points[:, :2] + offsets[..., :2] * stride
    half = offsets[..., 2:].clamp(max=8).exp() * stride
    return torch.cat([centre - half, centre + half], -1)


def losses(
    boxes: Tensor, objectness: Tensor, classes: Tensor, points: Tensor, targets: list[Boxes]
) -> dict[str, Tensor]:
    """The three losses, scalars: each a sum over points divided by the number of points that learn a truth.

    boxes (B, P, 4), objectness (B, P), classes (B, P, C), points (P, 3): as `Head` returns them.

    Several processes divide by the mean of their numbers, so that the mean of their gradients is that of one process.
    """
    number = classes.shape[-1]
    box_losses, class_losses = [boxes.sum() * 0], [classes.float().sum() * 0]
    is_object = torch.zeros_like(objectness, dtype=torch.float32)
    for i, target in enumerate(targets):
        truth, labels = target["boxes"].float(), one_hot(target["labels"] - 1, number).float()
        at, which = assign(boxes[i].detach(), objectness[i].detach(), classes[i].detach(), points, truth, labels)
        if not len(at):
            continue
        is_object[i, at] = 1.0
        overlap = box_iou(boxes[i, at].detach(), truth).gather(1, which[:, None])
        box_losses.append(generalized_box_iou_loss(boxes[i, at], truth[which], reduction="sum"))
        class_losses.append(_bce(classes[i, at].float(), labels[which] * overlap).sum())
    count = shared_mean(is_object.sum())
    return {
        "loss_box": BOX_WEIGHT * torch.stack(box_losses).sum() / count,
        "loss_objectness": _bce(objectness.float(), is_object).sum() / count,
        "loss_class": torch.stack(class_losses).sum() / count,
    }


_bce = partial(binary_cross_entropy_with_logits, reduction="none")


def assign(
    boxes: Tensor, objectness: Tensor, classes: Tensor, points: Tensor, truth: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """SimOTA: which points learn, and which truth each of them; int64 (N,) both.

    boxes (P, 4), objectness (P,), classes (P, C): predictions. truth: (G, 4); labels: (G, C), one-hot. A truth gets
    the k points of least cost, k the sum of its best overlaps; a point wanted by several learns the cheapest.
    """
    nowhere = torch.zeros(0, dtype=torch.int64, device=boxes.device)
    x, y, stride = points[:, None].unbind(2)
    centre = (truth[:, :2] + truth[:, 2:]) / 2
    near = ((x - centre[:, 0]).abs() < RADIUS * stride) & ((y - centre[:, 1]).abs() < RADIUS * stride)
    inside = (x > truth[:, 0]) & (x < truth[:, 2]) & (y > truth[:, 1]) & (y < truth[:, 3])
    candidates = (near | inside).any(1).nonzero()[:, 0]
    if not len(candidates):
        return nowhere, nowhere
    overlap = box_iou(boxes[candidates], truth)  # (N, G)
    probability = (objectness[candidates, None].float().sigmoid() * classes[candidates].float().sigmoid()).sqrt()
    log_p, log_q = probability.log().clamp(min=-100), (1 - probability).log().clamp(min=-100)
    cost = -(log_p @ labels.T + log_q @ (1 - labels).T) - 3 * (overlap + 1e-8).log()
    cost = cost + 1e5 * ~(near & inside)[candidates]
    wanted = torch.zeros_like(cost, dtype=torch.bool)
    most = min(CANDIDATES, len(candidates))
    for g, k in enumerate(overlap.topk(most, 0).values.sum(0).int().clamp(min=1).tolist()):
        wanted[cost[:, g].topk(min(k, len(candidates)), largest=False).indices, g] = True
    chosen = wanted.any(1)
    return candidates[chosen], cost.masked_fill(~wanted, math.inf)[chosen].argmin(1)
