"""Detection metrics: COCO's mean average precision, precision-recall curves, a confusion matrix of boxes.

Predictions and targets are lists of torchvision's dicts, one for an image: boxes (N, 4) xyxy in pixels, labels (N,)
from 1; scores (N,) where predicted; iscrowd (N,), and image_id () where known of the truth.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_area, box_iou

from lightloom.core.errors import UserError, install
from lightloom.ops.torch_internals import GathersAsWhole

log = logging.getLogger("lightloom")
Boxes = dict[str, Tensor]
AVERAGED = {  # name: which (thresholds, recalls, classes, area, count) of COCO's precisions are averaged
    "map": np.s_[:, :, :, 0, -1],
    "map50": np.s_[:1, :, :, 0, -1],
    "map75": np.s_[5:6, :, :, 0, -1],
    "map_small": np.s_[:, :, :, 1, -1],
    "map_medium": np.s_[:, :, :, 2, -1],
    "map_large": np.s_[:, :, :, 3, -1],
}
SUMMARY = (*AVERAGED, "mar_100")


class CocoPrecision(GathersAsWhole, MeanAveragePrecision):
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
                f"faster-coco-eval, which measures detectors, is not installed; {install('detection')}."
            ) from error
        self.warn_on_many_detections = False
        self.masks, self.per_class = masks, per_class
        self.add_state("image_id", default=[], dist_reduce_fx=None)

    def update(self, preds: list[Boxes], target: list[Boxes]) -> None:
        """Add images: boxes (N, 4), labels (N,) and so on as this module's docstring has them."""
        super().update(_on_cpu(preds), _on_cpu(target))
        self.image_id.extend(t.get("image_id", torch.zeros((), dtype=torch.int64)).cpu() for t in target)

    def compute(self) -> dict[str, Tensor]:
        """Scalars by the names of SUMMARY, `mar_100`, `mask_` before those of masks, `map_of_<label>` of each class.

        A measure of what the truth does not have (large boxes, a class) is left out; map and map50 are then 0.
        torchmetrics' own way makes each box a dictionary by itself, which takes as long as all the rest.
        """
        labels = _joined([*self.groundtruth_labels, *self.detection_labels]).unique().tolist()
        result = dict.fromkeys(("map", "map50", "mask_map", "mask_map50")[: 4 if self.masks else 2], -1.0)
        always = set(result)
        for kind, prefix in (("bbox", ""), ("segm", "mask_"))[: len(result) // 2 if labels else 0]:
            with _no_collection():
                found = self._evaluated(kind, labels)
            result |= {f"{prefix}{name}": _mean(found["precision"][part]) for name, part in AVERAGED.items()}
            result[f"{prefix}mar_100"] = _mean(found["recall"][:, :, 0, -1])
            if self.per_class:
                of_classes = np.moveaxis(found["precision"][AVERAGED["map"]], 2, 0)
                result |= {f"{prefix}map_of_{k}": _mean(p) for k, p in zip(labels, of_classes, strict=True)}
        return {k: torch.tensor(max(v, 0.0)) for k, v in result.items() if v >= 0 or k in always}

    def _evaluated(self, kind: str, labels: list[int]) -> dict[str, np.ndarray]:
        """precision (thresholds, recalls, classes, areas, counts), recall the same without recalls; -1: no truth."""
        from faster_coco_eval import COCO, COCOeval_faster

        truth = {"iscrowd": self.groundtruth_crowds, "area": self.groundtruth_area}
        sides = (
            (self.groundtruth_labels, self.groundtruth_box, self.groundtruth_mask, truth),
            (self.detection_labels, self.detection_box, self.detection_mask, {"score": self.detection_scores}),
        )
        both = [COCO() for _ in sides]
        for coco, side in zip(both, sides, strict=True):
            coco.dataset = _coco_content(kind, *side)
            coco.dataset["categories"] = [{"id": label, "name": str(label)} for label in labels]
            coco.createIndex()
        evaluation = COCOeval_faster(*both, iouType=kind, print_function=log.debug)
        options = evaluation.params
        options.iouThrs, options.recThrs = np.array(self.iou_thresholds), np.array(self.rec_thresholds)
        options.maxDets = self.max_detection_thresholds
        evaluation.evaluate()
        measures: dict[str, np.ndarray] = evaluation.eval
        return measures

    def gather_states(self, process_group: Any) -> None:
        """All states at once: torchmetrics gathers image by image, and waits forever where one process has one more."""
        own = self.metric_state
        parts: list[Any] = [None] * dist.get_world_size(process_group)
        dist.all_gather_object(parts, own, group=process_group)
        order = torch.tensor([int(i) for part in parts for i in part["image_id"]]).argsort(stable=True).tolist()
        for name in own:
            everything = [value for part in parts for value in part[name]]
            setattr(self, name, [everything[i] for i in order] if everything else [])


def _on_cpu(batch: Sequence[Boxes]) -> list[Boxes]:
    return [{name: values.cpu() for name, values in one.items()} for one in batch]


def _coco_content(
    kind: str, labels: list[Tensor], boxes: list[Tensor], masks: list[Any], more: dict[str, list[Tensor]]
) -> dict[str, Any]:
    """Images and annotations as COCO's JSON has them; boxes (N, 4) as x, y, width, height, masks as run lengths."""
    corners = _joined(boxes).double().view(-1, 4)
    runs = [{"size": size, "counts": counts} for image in masks for size, counts in image]
    area = corners[:, 2] * corners[:, 3]
    if runs and (kind == "segm" or "area" in more):
        area = torch.from_numpy(_mask_areas(runs)).double()
    columns = {name: _joined(values) for name, values in more.items()}
    if "area" in more:
        area = torch.where(columns["area"] > 0, columns["area"].double(), area)
    columns |= {"area": area, "bbox": corners, "category_id": _joined(labels)}
    table: dict[str, Sequence[Any]] = {name: values.tolist() for name, values in columns.items()}
    table["image_id"] = np.repeat(np.arange(len(labels)), [len(own) for own in labels]).tolist()
    table["id"] = range(1, len(corners) + 1)
    if runs:
        table["segmentation"] = runs
    images: list[dict[str, Any]] = [{"id": i} for i in range(len(labels))]
    for image, image_masks in zip(images, masks, strict=False):
        if len(image_masks):
            image["height"], image["width"] = image_masks[0][0]
    annotations = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return {"images": images, "annotations": annotations}


@contextmanager
def _no_collection() -> Iterator[None]:
    """A search for cycles among a dictionary for each box takes as long as the measure, and finds none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _joined(values: list[Tensor]) -> Tensor:
    return torch.cat(values) if values else torch.empty(0)


def _mask_areas(runs: list[dict[str, Any]]) -> np.ndarray:
    from faster_coco_eval import mask

    areas: np.ndarray = mask.area(runs)
    return areas


def _mean(values: np.ndarray) -> float:
    """The mean of the known values, those that are not -1; -1 where none is."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def match(prediction: Boxes, target: Boxes, iou: float = 0.5, by_class: bool = False) -> Tensor:
    """Match each predicted box to a true one: its index, or -1; int64 (N,).

    Greedy: by falling score, each takes the free truth of largest overlap, `iou` at least. by_class: only of its own
    label.
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
        if not any((one["labels"] == label).any() for one in (prediction, target)):
            continue
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


def average_precision(recall: Tensor, precision: Tensor) -> float:
    """COCO's: the mean over 101 recalls of the best precision at that recall or a higher one. (N,) as above."""
    if not len(recall):
        return 0.0
    best = precision.double().flip(0).cummax(0).values.flip(0)
    first = torch.searchsorted(recall.double(), torch.linspace(0, 1, 101, dtype=torch.float64))
    return float(torch.where(first < len(best), best[first.clamp(max=len(best) - 1)], 0.0).mean())


class BoxConfusion(Metric):
    """Confusion matrix of boxes: counts (num_classes + 1, num_classes + 1), rows the truth, columns the prediction.

    Index 0 is the background: row 0 counts false positives, column 0 misses. Boxes below `min_score` are ignored;
    the others match greedily, whatever their class. Crowds, and detections inside them, do not count.
    """

    matrix: Tensor

    def __init__(self, num_classes: int, iou: float = 0.5, min_score: float = 0.5) -> None:
        super().__init__()
        self.iou, self.min_score = iou, min_score
        self.add_state("matrix", torch.zeros(num_classes + 1, num_classes + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Boxes], targets: Sequence[Boxes]) -> None:
        """Add images: boxes (N, 4), labels (N,), scores (N,) where predicted."""
        for prediction, target in zip(predictions, targets, strict=True):
            self.matrix += confusion(prediction, target, len(self.matrix) - 1, self.iou, self.min_score).to(self.device)

    def compute(self) -> Tensor:
        """The counts so far, int64 (num_classes + 1, num_classes + 1)."""
        return self.matrix


def confusion(prediction: Boxes, target: Boxes, num_classes: int, iou: float = 0.5, min_score: float = 0.0) -> Tensor:
    """The matrix of `BoxConfusion` for one image: int64 (num_classes + 1, num_classes + 1)."""
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
    inside: Tensor = common >= share * box_area(boxes)
    return inside
