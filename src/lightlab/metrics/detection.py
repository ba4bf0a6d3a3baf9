"""How well boxes were found: COCO's mean average precision, precision over recall, and what was taken for what.

Predictions and targets are lists of torchvision's dicts, one for an image: boxes (N, 4) xyxy in pixels, labels (N,)
from 1; scores (N,) where predicted; iscrowd (N,), and image_id () where known of the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_area, box_iou

from lightlab.errors import UserError

Boxes = dict[str, Tensor]
SUMMARY = {"map": "map", "map50": "map_50", "map75": "map_75", "map_small": "map_small", "map_medium": "map_medium",
           "map_large": "map_large", "mar_100": "mar_100"}  # fmt: skip


class CocoPrecision(MeanAveragePrecision):
    """COCO's measures of boxes, and of masks where asked, by faster-coco-eval.

    Over several processes the images are put in the order of their image_id, so figures are those of one process;
    processes may hold different numbers of images. per_class: `compute` also has the average precision of each class.
    """

    image_id: list[Tensor]

    def __init__(self, masks: bool = False, per_class: bool = False) -> None:
        try:
            super().__init__(
                iou_type=("bbox", "segm") if masks else "bbox",
                extended_summary=per_class,
                backend="faster_coco_eval",
            )
        except ModuleNotFoundError as error:
            raise UserError(
                'faster-coco-eval, which measures detectors, is not installed; pip install "lightlab[detection]".'
            ) from error
        self.warn_on_many_detections = False
        self.masks, self.per_class = masks, per_class
        self.add_state("image_id", default=[], dist_reduce_fx=None)

    def update(self, preds: list[Boxes], target: list[Boxes]) -> None:
        super().update(_on_cpu(preds), _on_cpu(target))
        self.image_id.extend(t.get("image_id", torch.zeros((), dtype=torch.int64)).cpu() for t in target)

    def compute(self) -> dict[str, Tensor]:
        """Scalars by the names of SUMMARY, `mask_` before those of masks, and `map_of_<label>` of each class.

        A measure of what the truth does not have (large boxes, a class) is left out; map and map50 are then 0.
        """
        found = super().compute()
        result: dict[str, Tensor] = {}
        for kind, prefix in (("bbox_", ""), ("segm_", "mask_")) if self.masks else (("", ""),):
            result |= {f"{prefix}{name}": found[kind + key] for name, key in SUMMARY.items()}
            if self.per_class and f"{kind}precision" in found:
                of_classes = _per_class(found[f"{kind}precision"])
                result |= {
                    f"{prefix}map_of_{label}": value
                    for label, value in zip(found["classes"].tolist(), of_classes, strict=True)
                }
        always = ("map", "map50", "mask_map", "mask_map50")
        return {k: v.clamp(min=0) for k, v in result.items() if v >= 0 or k in always}

    def _sync_dist(self, dist_sync_fn: Any = None, process_group: Any = None) -> None:
        """torchmetrics gathers image by image, and waits forever where one process has an image more."""
        own = {name: getattr(self, name) for name in self._reductions}
        parts: list[Any] = [None] * dist.get_world_size(process_group)
        dist.all_gather_object(parts, own, group=process_group)
        order = torch.tensor([int(i) for part in parts for i in part["image_id"]]).argsort(stable=True).tolist()
        for name in own:
            everything = [value for part in parts for value in part[name]]
            setattr(self, name, [everything[i] for i in order] if everything else [])


def _on_cpu(batch: Sequence[Boxes]) -> list[Boxes]:
    return [{name: values.cpu() for name, values in one.items()} for one in batch]


def _per_class(precision: Tensor) -> list[Tensor]:
    """precision: (thresholds, recalls, classes, areas, counts), -1 where a class has no truth. Its mean by class."""
    return [p.mean() if (p := k[k > -1]).numel() else torch.tensor(-1.0) for k in precision[:, :, :, 0, -1].unbind(2)]


def match(prediction: Boxes, target: Boxes, iou: float = 0.5, by_class: bool = False) -> Tensor:
    """For each predicted box the index of the true one that it takes, or -1: int64 (N,).

    Greedy: the most certain first takes the free truth that it overlaps most, by `iou` at least. by_class: only of
    its own label.
    """
    taken = torch.full((len(prediction["boxes"]),), -1, dtype=torch.int64)
    if not (len(taken) and len(target["boxes"])):
        return taken
    overlap = box_iou(prediction["boxes"].float().cpu(), target["boxes"].float().cpu())
    if by_class:
        overlap[prediction["labels"].cpu()[:, None] != target["labels"].cpu()] = -1
    for i in prediction["scores"].cpu().argsort(descending=True, stable=True).tolist():
        best, truth = overlap[i].max(0)
        if best >= iou:
            taken[i] = truth
            overlap[:, truth] = -1
    return taken


def precision_recall(
    predictions: Sequence[Boxes], targets: Sequence[Boxes], label: int, iou: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """recall, precision and score of a class's detections, most certain first; (N,) each.

    At each place: of the detections up to it, over all images, the share that is right, and the share of the truths
    that is found. Everingham et al. 2010, The Pascal Visual Object Classes Challenge, section 4.2.
    """
    scores, right, truths = [torch.empty(0)], [torch.empty(0, dtype=torch.bool)], 0
    for prediction, target in zip(predictions, targets, strict=True):
        own, (truth, crowd) = _only(prediction, label), _without_crowds(_only(target, label))
        matched = match(own, truth, iou) >= 0
        kept = matched | ~_in_crowd(own, crowd, iou)
        truths += len(truth["boxes"])
        scores.append(own["scores"].float().cpu()[kept])
        right.append(matched[kept])
    score, order = torch.cat(scores).sort(descending=True, stable=True)
    hits = torch.cat(right)[order].cumsum(0).float()
    count = torch.arange(1, len(hits) + 1)
    return hits / max(truths, 1), hits / count, score


class BoxConfusion(Metric):
    """What was taken for what: counts (num_classes + 1, num_classes + 1), rows the truth, columns the prediction.

    Place 0 is the background: row 0 counts false boxes, column 0 missed ones. Boxes below `min_score` are not looked
    at; the others match greedily, whatever their class. Crowds, and what is detected in them, do not count.
    """

    matrix: Tensor

    def __init__(self, num_classes: int, iou: float = 0.5, min_score: float = 0.5) -> None:
        super().__init__()
        self.iou, self.min_score = iou, min_score
        self.add_state("matrix", torch.zeros(num_classes + 1, num_classes + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Boxes], targets: Sequence[Boxes]) -> None:
        for prediction, target in zip(predictions, targets, strict=True):
            self.matrix += confusion(prediction, target, len(self.matrix) - 1, self.iou, self.min_score).to(self.device)

    def compute(self) -> Tensor:
        return self.matrix


def confusion(prediction: Boxes, target: Boxes, num_classes: int, iou: float = 0.5, min_score: float = 0.0) -> Tensor:
    """The matrix of `BoxConfusion` for one image."""
    seen = confident(prediction, min_score)
    truth, crowd = _without_crowds(target)
    taken = match(seen, truth, iou)
    false = (taken < 0) & ~_in_crowd(seen, crowd, iou)
    labels, true = seen["labels"].cpu(), truth["labels"].cpu()
    missed = torch.ones(len(true), dtype=torch.bool)
    missed[taken[taken >= 0]] = False
    rows = torch.cat([true[taken[taken >= 0]], torch.zeros(int(false.sum()), dtype=torch.int64), true[missed]])
    columns = torch.cat([labels[taken >= 0], labels[false], torch.zeros(int(missed.sum()), dtype=torch.int64)])
    side = num_classes + 1
    return torch.bincount(rows * side + columns, minlength=side**2).view(side, side)


def confident(prediction: Boxes, min_score: float) -> Boxes:
    """The detections of at least this score."""
    kept = prediction["scores"] >= min_score
    return {name: values[kept] for name, values in prediction.items()}


def _only(boxes: Boxes, label: int) -> Boxes:
    kept = boxes["labels"] == label
    return {n: v[kept] for n, v in boxes.items() if n in ("boxes", "labels", "scores", "iscrowd")}


def _without_crowds(target: Boxes) -> tuple[Boxes, Tensor]:
    """The single objects, and the crowds' boxes."""
    crowd = target.get("iscrowd", torch.zeros_like(target["labels"])).bool()
    return {name: target[name][~crowd] for name in ("boxes", "labels")}, target["boxes"][crowd]


def _in_crowd(prediction: Boxes, crowds: Tensor, share: float) -> Tensor:
    """Which boxes lie in a crowd by at least this share of their own area; bool (N,)."""
    boxes, crowds = prediction["boxes"].float().cpu(), crowds.float().cpu()
    if not len(crowds):
        return torch.zeros(len(boxes), dtype=torch.bool)
    low = torch.maximum(boxes[:, None, :2], crowds[:, :2])
    high = torch.minimum(boxes[:, None, 2:], crowds[:, 2:])
    common = (high - low).clamp(min=0).prod(2).max(1).values
    return common >= share * box_area(boxes)
