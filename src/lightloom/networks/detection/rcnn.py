"""R-CNN and Fast R-CNN: detectors whose regions are proposed by something that does not learn.

The convention of networks/detection/torchvision.py; a target may bring `proposals`, boxes (M, 4) in pixels of the
image, in evaluation too. Where it does not, `search` finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.ops import MultiScaleRoIAlign, box_iou, roi_align, roi_pool
from torchvision.ops.poolers import LevelMapper

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import BelowOne, Count, Share
from lightloom.networks.choices import one_of
from lightloom.networks.detection.regions import key_regions
from lightloom.networks.detection.torchvision import IMAGENET_MEAN, IMAGENET_STD, LONGEST, MOST, Boxes, Pyramid

Search = Callable[[Tensor], Tensor]  # uint8 (3, H, W) -> boxes (N, 4)
Pooling = Literal["align", "max"]
POOLED = 7  # cells of a side that a region's map is pooled to
OBJECT = 0.5  # IoU from which a region holds an object
OBJECTS = 0.25  # of the regions that are learned from, at most
NOT_AT_ALL = 0.3  # IoU below which a region is a support vector machine's background
CONTEXT = 16 / 227  # of a crop's side, on each side of the region
AT_ONCE = 256  # crops


class GivenProposals(nn.Module):
    """In place of a region proposal network: the proposals of the targets, scaled as their images were."""

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Boxes]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Boxes (M, 4) of each image, in pixels of the network's, and no losses. features: maps (B, C, h, w)."""
        pairs = zip(targets, images.image_sizes, strict=True)
        return [resize_boxes(t["proposals"], t["size"].tolist(), list(size)) for t, size in pairs], {}


class RegionHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's, for which a region is background where it overlaps a truth by `background_from` at least: those
    are harder than others (Girshick 2015, section 2.3). Where an image has none of them, all are.
    """

    def __init__(
        self,
        pool: nn.Module,
        head: nn.Module,
        predictor: nn.Module,
        rois: Count,
        score_thresh: Share,
        nms_thresh: Share,
        background_from: BelowOne = 0.0,
    ) -> None:
        super().__init__(pool, head, predictor, OBJECT, OBJECT, rois, OBJECTS, None, score_thresh, nms_thresh, MOST)
        self.background_from = background_from

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Each region's truth and label, (N,): 0 is background, -1 neither. proposals, gt_boxes: (N, 4), (G, 4)."""
        truths, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for own, boxes, truth in zip(labels, proposals, gt_boxes, strict=True):
            far = (own == 0) & (_overlap(boxes, truth) < self.background_from)
            if (own[~far] == 0).any():
                own[far] = -1
        return truths, labels


class MultiScaleRoIPool(nn.Module):
    """The largest value in each of 7 x 7 parts of a region (Girshick 2015, section 2.1), on the level of a pyramid that
    its size asks for (Lin et al. 2017, eq. 1).
    """

    def __init__(self, levels: Count, finest: Count) -> None:
        super().__init__()
        self.scales = [1 / (finest * 2**i) for i in range(levels)]
        first = finest.bit_length() - 1
        self.level_of = LevelMapper(first, first + levels - 1)

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """(R, C, 7, 7) of regions, (N, 4) for each image, in maps (B, C, h, w)."""
        level = self.level_of(boxes)
        image = torch.cat([torch.full_like(of[:, :1], i) for i, of in enumerate(boxes)])
        regions = torch.cat([image, torch.cat(boxes)], 1)
        maps = [features[str(i)] for i in range(len(self.scales))]
        found = maps[0].new_zeros(len(regions), maps[0].shape[1], POOLED, POOLED)
        for i, (values, scale) in enumerate(zip(maps, self.scales, strict=True)):
            here = (level == i).nonzero()[:, 0]
            pooled = roi_pool(values, regions[here].to(values.dtype), POOLED, scale)
            found = found.index_put((here,), pooled)
        return found


class FastRCNN(GeneralizedRCNN):  # type: ignore[misc]
    """See `fast_rcnn`."""

    looks_at = ("proposals",)  # entries of a target that are no truth: evaluation gives them, too
    losses: tuple[str, ...] = ("loss_classifier", "loss_box_reg")

    def __init__(self, backbone: nn.Module, heads: RoIHeads, transform: nn.Module, search: Search) -> None:
        super().__init__(backbone, GivenProposals(), heads, transform)
        self.search = search
        key_regions(self)

    def forward(self, images: list[Tensor], targets: list[Boxes] | None = None) -> Any:
        """images: (3, H, W) each; targets: boxes (N, 4), labels (N,) and proposals (M, 4), or some of them, or none."""
        given = targets if targets is not None else [{} for _ in images]
        return super().forward(images, [self._whole(*pair) for pair in zip(images, given, strict=True)])

    def _whole(self, image: Tensor, target: Boxes) -> Boxes:
        """The target with all that torchvision asks for, the image's size, and proposals, one at least."""
        nothing = {"boxes": image.new_zeros(0, 4), "labels": image.new_zeros(0, dtype=torch.int64)}
        proposals = target["proposals"] if "proposals" in target else self._found(image)
        height, width = image.shape[-2:]
        if not len(proposals):
            proposals = proposals.new_tensor([[0, 0, width, height]])
        return nothing | target | {"proposals": proposals, "size": torch.tensor([height, width])}

    def _found(self, image: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            raise UserError(
                f"{type(self).__name__} looks at regions that selective search finds, which is no part of a graph; set "
                f"format=safetensors for the weights, or export model=faster_rcnn, which finds its own."
            )
        return self.search(image.float().mul(255).round().byte().cpu()).to(image.device, torch.float32)


@part
def fast_rcnn(
    num_classes: Count,
    image_size: Count,
    backbone: Pyramid,
    search: Search,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    width: Count = 256,
    rois: Count = 64,
    pooling: Pooling = "align",
    background_from: BelowOne = 0.1,
    score_thresh: Share = 0.05,
    nms_thresh: Share = 0.5,
) -> FastRCNN:
    """Girshick 2015, Fast R-CNN, arXiv:1504.08083, on a pyramid: a region is pooled from the maps of the whole image.

    search: what proposes regions of an image, uint8 (3, H, W). width, rois: as in faster_rcnn. pooling: max, as in the
    paper, or align, as He et al. 2017 do. background_from: IoU with a truth from which regions are background.
    """
    pool = _pooling(pooling, backbone)
    predictor = FastRCNNPredictor(width, num_classes + 1)
    heads = RegionHeads(pool, _head(backbone, width), predictor, rois, score_thresh, nms_thresh, background_from)
    return FastRCNN(backbone, heads, _transform(image_size, mean, std), search)


# --- R-CNN: each region is an image of its own


class Pictures(nn.Module):
    """The images themselves, for heads that cut their regions out of them."""

    out_channels = 3

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """images: (B, 3, H, W)."""
        return {"0": images}


class WarpedCrops(nn.Module):
    """The maps of each region, cut out with some context, warped to `side` squared pixels and sent through `backbone`
    alone (Girshick et al. 2014, section 2.1 and appendix A).

    context: of the crop's side, on each side of the region.
    """

    def __init__(self, backbone: Pyramid, side: int, context: float, pool: nn.Module) -> None:
        super().__init__()
        self.backbone, self.side, self.context, self.pool = backbone, side, context, pool

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """(R, C, 7, 7) of regions, (N, 4) for each image of features["0"], (B, 3, H, W)."""
        crops = roi_align(features["0"], [self._widened(b) for b in boxes], self.side, aligned=True)
        return torch.cat([self._pooled(part) for part in crops.split(AT_ONCE)])

    def _widened(self, boxes: Tensor) -> Tensor:
        more = (boxes[:, 2:] - boxes[:, :2]) * (self.context / (1 - 2 * self.context))
        return torch.cat([boxes[:, :2] - more, boxes[:, 2:] + more], 1)

    def _pooled(self, crops: Tensor) -> Tensor:
        whole = crops.new_tensor([[0, 0, self.side, self.side]])
        pooled: Tensor = self.pool(self.backbone(crops), [whole] * len(crops), [(self.side, self.side)] * len(crops))
        return pooled


class RegionPredictor(nn.Module):
    """Scores of a region's values, and its box: (N, V) -> logits (N, C + 1) and changes (N, 4 (C + 1)).

    svm: a linear support vector machine for each class scores in evaluation, and learns beside the softmax, from values
    that it does not change. regression: without it a detection's box is the region.
    """

    def __init__(self, width: int, num_classes: int, svm: bool, regression: bool) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, num_classes + 1)
        self.svm = nn.Linear(width, num_classes) if svm else None
        self.bbox_pred = nn.Linear(width, 4 * (num_classes + 1)) if regression else None
        self.margins = torch.zeros(0)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.cls_score(values)
        changes = self.bbox_pred(values) if self.bbox_pred else values.new_zeros(len(values), 4 * logits.shape[1])
        if self.svm:
            self.margins = self.svm(values.detach()).float()
            logits = logits if self.training else _as_logits(self.margins)
        return logits, changes


class RCNNHeads(RegionHeads):
    """Those of regions, whose predictor may have support vector machines: these learn from truths, and from what hardly
    overlaps one (appendix B of the paper).
    """

    def select_training_samples(self, proposals: list[Tensor], targets: list[Boxes] | None) -> Any:
        """As torchvision's; what the support vector machines are told, (N,), is kept. proposals: (N, 4) each."""
        found = super().select_training_samples(proposals, targets)
        overlaps = [_overlap(own, t["boxes"].to(own.dtype)) for own, t in zip(found[0], targets or (), strict=True)]
        told = zip(overlaps, found[2], strict=True)
        self.told = torch.cat([_told(overlap, labels) for overlap, labels in told])
        return found

    def forward(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: Any, targets: Any = None
    ) -> Any:
        """features: images (B, 3, H, W); proposals: (N, 4) each."""
        found, losses = super().forward(features, proposals, image_shapes, targets)
        predictor: Any = self.box_predictor
        if self.training and not predictor.bbox_pred:
            losses.pop("loss_box_reg")
        if self.training and predictor.svm:
            losses["loss_svm"] = hinge(predictor.margins, self.told)
        if not self.training and predictor.svm:
            found = [one | {"scores": one["scores"] * predictor.svm.out_features} for one in found]
        return found, losses


@part
def rcnn(
    num_classes: Count,
    image_size: Count,
    backbone: Pyramid,
    search: Search,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    width: Count = 256,
    rois: Count = 64,
    crop_size: Count = 64,
    context: Share = CONTEXT,
    svm: bool = True,
    regression: bool = True,
    score_thresh: Share = 0.05,
    nms_thresh: Share = 0.3,
) -> FastRCNN:
    """Girshick et al. 2014, Rich feature hierarchies for accurate object detection and semantic segmentation,
    arXiv:1311.2524: each region goes through the network as an image of its own.

    crop_size: pixels of a warped region's side. context: of that side, on each side of the region. svm: per-class
    support vector machines score, not the softmax that the network learns by. regression: of boxes. Here all three
    learn at once, by one optimizer; there one after another.
    """
    if not 0 <= context < 0.5:
        raise ValueError(f"context {context} leaves a region no room in its crop; set model.network.context below 0.5")
    pool = WarpedCrops(backbone, crop_size, context, _pooling("align", backbone))
    predictor = RegionPredictor(width, num_classes, svm, regression)
    threshold = score_thresh / num_classes if svm else score_thresh
    heads = RCNNHeads(pool, _head(backbone, width), predictor, rois, threshold, nms_thresh)
    network = FastRCNN(Pictures(), heads, _transform(image_size, mean, std), search)
    network.losses = ("loss_classifier", *["loss_box_reg"] * regression, *["loss_svm"] * svm)
    return network


def hinge(margins: Tensor, labels: Tensor) -> Tensor:
    """The hinge losses of every class, summed, and over the regions' number, a scalar. margins: (N, C); labels: (N,)
    from 1, 0 for background, -1 for neither.
    """
    sides = 2 * nn.functional.one_hot(labels.clamp(min=0), margins.shape[1] + 1)[:, 1:] - 1
    return ((1 - sides * margins).clamp(min=0).sum(1) * (labels >= 0)).sum() / max(len(labels), 1)


def _as_logits(margins: Tensor) -> Tensor:
    """(N, C + 1) whose softmax is sigmoid(margin) / C for each class, so that none hangs on another."""
    shares = margins.sigmoid() / margins.shape[1]
    rest = 1 - shares.sum(1, keepdim=True)
    return torch.cat([rest, shares], 1).clamp(min=1e-12).log()


def _told(overlap: Tensor, labels: Tensor) -> Tensor:
    """A truth's label, 0 for what hardly overlaps one, -1 for the rest. overlap, labels: (N,)."""
    return torch.where(overlap > 0.999, labels, torch.where(overlap < NOT_AT_ALL, 0, -1))


def _overlap(boxes: Tensor, truths: Tensor) -> Tensor:
    """The largest IoU of each box with a truth, (N,)."""
    return box_iou(boxes, truths).amax(1) if len(truths) else boxes.new_zeros(len(boxes))


def _pooling(name: Pooling, backbone: Pyramid) -> Any:
    one_of("pooling", name, get_args(Pooling), "model.network.pooling")
    if name == "max":
        return MultiScaleRoIPool(len(backbone.levels), backbone.finest)
    return MultiScaleRoIAlign(backbone.levels, POOLED, 2)


def _head(backbone: Pyramid, width: int) -> Any:
    return TwoMLPHead(backbone.out_channels * POOLED**2, width)


def _transform(image_size: int, mean: Sequence[float], std: Sequence[float]) -> Any:
    return GeneralizedRCNNTransform(image_size, round(LONGEST * image_size), list(mean), list(std))
