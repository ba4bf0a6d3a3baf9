"""Measures of semantic segmentation, all of one confusion matrix over all pixels, and the F1 of boundaries."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

TOLERANCE = 0.0075  # of an image's diagonal: how far a boundary may be off (Csurka et al. 2013)


def of_confusion(matrix: Tensor) -> dict[str, Tensor]:
    """miou, dice and mean_acc, means over the classes that are in truth or, but for mean_acc, in what was found; and
    pixel_acc. Scalars, 0 of an empty matrix.

    matrix: counts of pixels (K, K), rows the truth. Intersection over union as Everingham et al. 2015, section 4.2.
    """
    counts = matrix.double()
    right, truth, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    return {
        "miou": _mean(right, truth + found - right),
        "dice": _mean(2 * right, truth + found),
        "pixel_acc": right.sum() / counts.sum().clamp(min=1),
        "mean_acc": _mean(right, truth),
    }


def iou_of_classes(matrix: Tensor) -> Tensor:
    """Intersection over union of each class, (K,); NaN for one that is neither in truth nor found."""
    counts = matrix.double()
    right = counts.diagonal()
    return right / (counts.sum(1) + counts.sum(0) - right)


def _mean(part: Tensor, whole: Tensor) -> Tensor:
    present = whole > 0
    return (part[present] / whole[present]).sum() / present.sum().clamp(min=1)


def boundary_f1(found: Tensor, truth: Tensor, num_classes: int, ignore: int = 255) -> tuple[float, int]:
    """The sum over the image's classes of the F1 of their boundaries, and the number of these classes.

    found, truth: integers (H, W). A pixel of a boundary is right where the other has one within TOLERANCE of the
    diagonal, measured along rows and columns (Csurka et al. 2013, What is a good evaluation measure for semantic
    segmentation?).
    """
    reach = max(1, math.ceil(TOLERANCE * math.hypot(*truth.shape)))
    known = truth != ignore
    classes = torch.unique(truth[known]).tolist()
    edges = [(_boundary((found == k) & known), _boundary((truth == k) & known)) for k in classes]
    return sum(_f1(one, other, reach) for one, other in edges), len(classes)


def _f1(found: Tensor, truth: Tensor, reach: int) -> float:
    """Of two boundaries; 1 where there is none in either."""
    if not found.any() and not truth.any():
        return 1.0
    precision, recall = _share_near(found, truth, reach), _share_near(truth, found, reach)
    return 2 * precision * recall / max(precision + recall, 1e-12)


def _share_near(edge: Tensor, other: Tensor, reach: int) -> float:
    return float((edge & _dilated(other, reach)).sum() / edge.sum().clamp(min=1))


def _boundary(mask: Tensor) -> Tensor:
    """The pixels of a mask that touch what is not of it; the border of the image is no boundary."""
    inside = -max_pool2d(-mask[None].float(), 3, 1, 1)
    return mask & (inside[0] == 0)


def _dilated(mask: Tensor, reach: int) -> Tensor:
    return max_pool2d(mask[None].float(), 2 * reach + 1, 1, reach)[0] > 0
