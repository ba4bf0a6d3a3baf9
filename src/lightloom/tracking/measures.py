"""Tracking metrics: CLEAR MOT's accuracy and identity switches, and the jitter of boxes.

Truth and tracks are lists with a dict for each frame: boxes (N, 4) xyxy in pixels, ids (N,) int64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_iou

from lightloom.core.errors import UserError, install

Tracks = dict[str, Tensor]


def clear_mot(truth: Sequence[Tracks], tracks: Sequence[Tracks], iou: float = 0.5) -> dict[str, float]:
    """`mota`, 1 - (misses + false boxes + switches) / true boxes, at most 1; and the counts `id_switches`, `misses`,
    `false_boxes`. A box matches a true one by `iou` at least; classes are not looked at. By package `trackers`.

    Bernardin & Stiefelhagen 2008, Evaluating multiple object tracking performance: the CLEAR MOT metrics.
    """
    try:
        from trackers.eval import compute_clear_metrics
    except ModuleNotFoundError as error:
        raise UserError(f"trackers, which measures tracks, is not installed; {install('video')}.") from error
    found = compute_clear_metrics(
        [frame["ids"].numpy() for frame in truth],
        [frame["ids"].numpy() for frame in tracks],
        [overlaps(*pair) for pair in zip(truth, tracks, strict=True)],
        iou,
    )
    return {
        "mota": found["MOTA"],
        "id_switches": found["IDSW"],
        "misses": found["CLR_FN"],
        "false_boxes": found["CLR_FP"],
    }


def jitter(truth: Sequence[Tracks], tracks: Sequence[Tracks], iou: float = 0.5) -> float:
    """Jitter of boxes about the true ones, in pixels; NaN where no object was tracked for two frames.

    The standard deviation, over all corners' coordinates, of the frame-to-frame change of the error, found minus true,
    where one track is matched to one true object in two frames on end. A constant offset is no jitter;
    independent noise of deviation s in each coordinate has a jitter of s times the root of 2.
    """
    changes: list[np.ndarray] = []
    before: dict[tuple[int, int], np.ndarray] = {}
    for true, found in zip(truth, tracks, strict=True):
        errors = _errors(true, found, iou)
        changes += [error - before[pair] for pair, error in errors.items() if pair in before]
        before = errors
    return _deviation(changes)


def deviations(truth: Sequence[Tracks], tracks: Sequence[Tracks], iou: float = 0.5) -> np.ndarray:
    """Found minus true corners, (N, 4) in pixels, of all boxes that are matched to a true one."""
    pairs = zip(truth, tracks, strict=True)
    return np.array([error for true, found in pairs for error in _errors(true, found, iou).values()]).reshape(-1, 4)


class Tremor:
    """Jitter of tracks without ground truth, in pixels; updated frame by frame.

    `value` is the standard deviation of the second differences of corners' coordinates over three frames on end.
    Steady motion has none; turns count too; independent noise of deviation s has s times the root of 6.
    """

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._before: dict[int, np.ndarray] = {}
        self._earlier: dict[int, np.ndarray] = {}

    def update(self, tracks: Tracks) -> None:
        now = dict(zip(tracks["ids"].tolist(), tracks["boxes"].double().numpy(), strict=True))
        for number in now.keys() & self._before.keys() & self._earlier.keys():
            second = now[number] - 2 * self._before[number] + self._earlier[number]
            self._count += second.size
            self._sum += float(second.sum())
            self._squares += float(np.square(second).sum())
        self._earlier, self._before = self._before, now

    @property
    def value(self) -> float:
        if not self._count:
            return float("nan")
        return max(self._squares / self._count - (self._sum / self._count) ** 2, 0.0) ** 0.5


def overlaps(truth: Tracks, tracks: Tracks) -> np.ndarray:
    """IoU of each true box with each predicted one, (N, M)."""
    return box_iou(truth["boxes"].double(), tracks["boxes"].double()).numpy()


def _errors(true: Tracks, found: Tracks, iou: float) -> dict[tuple[int, int], np.ndarray]:
    """Found minus true corners (4,) of each pair of a true object and a track that are matched in a frame."""
    overlap = overlaps(true, found)
    matched = zip(*linear_sum_assignment(np.where(overlap >= iou, overlap, 0), maximize=True), strict=True)
    return {
        (int(true["ids"][i]), int(found["ids"][j])): (found["boxes"][j].double() - true["boxes"][i].double()).numpy()
        for i, j in matched
        if overlap[i, j] >= iou
    }


def _deviation(values: Iterable[np.ndarray]) -> float:
    values = list(values)
    return float(np.stack(values).std()) if values else float("nan")
