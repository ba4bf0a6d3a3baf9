"""Follow boxes with numpy alone: what a live page and a small server need of `byte_track`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lightloom.tracking.smoothing import Method, OneEuro, Unsmoothed
from lightloom.tracking.steady import Steady

FADING = 0.9  # of a vote for a track's class, from box to box
PATIENCE = 1.0  # seconds without a box, after which a track is given up
OVERLAP = 0.2  # IoU of a box and of where its track is expected, at least
ONCE = 0.6  # IoU above which two boxes of a picture are one


@dataclass
class _Track:
    number: int
    box: np.ndarray
    speed: np.ndarray = field(default_factory=lambda: np.zeros(4))  # per second
    unseen: float = 0.0  # seconds
    seen: int = 0
    votes: dict[int, float] = field(default_factory=dict)
    state: Any = None

    def expected(self, seconds: float) -> np.ndarray:
        return self.box + self.speed * (self.unseen + seconds)


class LightTrack:
    """Byte's two rounds (Zhang et al. 2022): certain boxes first, then uncertain ones with the tracks that are left, by
    their overlap with where each track is expected, the largest first; constant velocity stands for the Kalman filter.

    min_score: of a box that begins a track. low_score: of one that may continue it. A track is told from its second
    box on. Boxes have the time that is given, so pictures may be left out. method: steadies them, without a lag.
    """

    def __init__(self, min_score: float, low_score: float = 0.1, method: Method | None = None) -> None:
        self.min_score, self.low_score = min_score, min(low_score, min_score)
        self.method: Method = method or OneEuro()
        self._tracks: list[_Track] = []
        self._last = 0

    def update(self, found: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
        """The tracks that have a box in this picture: boxes (N, 4), labels, scores, and ids from 1.

        found: boxes (N, 4) xyxy, labels (N,), scores (N,). seconds: since the picture before.
        """
        boxes, labels, scores = (np.asarray(found[name]) for name in ("boxes", "labels", "scores"))
        kept = _once(boxes, scores, self.low_score)
        certain = [i for i in kept if scores[i] >= self.min_score]
        uncertain = [i for i in kept if scores[i] < self.min_score]
        continued = self._continued(boxes, (certain, uncertain), seconds)
        for number, track in enumerate(self._tracks):
            track.unseen += 0 if number in continued else seconds
        rows = [self._seen(self._tracks[t], boxes[i], labels[i], scores[i], seconds) for t, i in continued.items()]
        for i in (i for i in certain if i not in continued.values()):
            self._last += 1
            self._tracks.append(_Track(self._last, boxes[i].astype(float)))
            self._seen(self._tracks[-1], boxes[i], labels[i], scores[i], seconds)
        self._tracks = [track for track in self._tracks if track.unseen <= (PATIENCE if track.seen > 1 else 0)]
        return _columns(rows)

    def _continued(self, boxes: np.ndarray, rounds: Iterable[list[int]], seconds: float) -> dict[int, int]:
        """Place of a track -> place of the box that continues it: of each round's boxes, with tracks that are left."""
        expected = np.array([track.expected(seconds) for track in self._tracks]).reshape(-1, 4)
        pairs: dict[int, int] = {}
        for some in rounds:
            free = [t for t in range(len(self._tracks)) if t not in pairs]
            pairs |= {free[row]: some[column] for row, column in _matched(overlaps(expected[free], boxes[some]))}
        return pairs

    def flush(self) -> list[dict[str, np.ndarray]]:
        """No picture is waited for."""
        return []

    def _seen(self, track: _Track, box: np.ndarray, label: int, score: float, seconds: float) -> tuple:
        box, since = box.astype(float), max(track.unseen + seconds, 1e-3)
        if track.seen:
            track.speed += ((box - track.box) / since - track.speed) * 0.5
        track.box, track.unseen, track.seen = box, 0.0, track.seen + 1
        track.votes = {name: votes * FADING for name, votes in track.votes.items()}
        track.votes[int(label)] = track.votes.get(int(label), 0.0) + float(score)
        track.state = self.method.step(track.state, box, since, float(score))
        best = max(track.votes, key=track.votes.__getitem__)
        return (self.method.smoothed([track.state]), best, float(score), track.number)


class LaggedTrack:
    """Tracks of a film, steadied by a method that also looks at later pictures: `method.lag` of them are waited for.

    min_score, low_score: see `LightTrack`.
    """

    def __init__(self, min_score: float, low_score: float, method: Method) -> None:
        self._track, self._steady = LightTrack(min_score, low_score, Unsmoothed()), Steady(method)

    def update(self, found: Mapping[str, np.ndarray], seconds: float) -> Any:
        """The steady tracks of the picture `lag` before this one, None where there is none yet."""
        return self._steady.update(self._track.update(found, seconds), seconds)

    def flush(self) -> list[dict[str, np.ndarray]]:
        """Those of the pictures that are still waited for."""
        return list(self._steady.flush())


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (N, M) of boxes (N, 4) and (M, 4) xyxy."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = sides.clip(0).prod(2)
    areas = [(box[:, 2:] - box[:, :2]).clip(0).prod(1) for box in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)


def _matched(iou: np.ndarray) -> list[tuple[int, int]]:
    """Rows and columns, the largest overlap first, each once."""
    pairs = []
    iou = iou.copy()
    while iou.size and iou.max() >= OVERLAP:
        row, column = np.unravel_index(int(iou.argmax()), iou.shape)
        pairs.append((int(row), int(column)))
        iou[row], iou[:, column] = -1, -1
    return pairs


def _once(boxes: np.ndarray, scores: np.ndarray, least: float) -> list[int]:
    """The boxes of that score or more, best first, without those that a better one covers."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] >= least and (not kept or overlaps(boxes[[i]], boxes[kept]).max() <= ONCE):
            kept.append(int(i))
    return kept


def _columns(rows: list[tuple]) -> dict[str, np.ndarray]:
    boxes, labels, scores, ids = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "boxes": np.array(boxes, dtype=np.float32).reshape(-1, 4),
        "labels": np.array(labels, dtype=np.int64),
        "scores": np.array(scores, dtype=np.float32),
        "ids": np.array(ids, dtype=np.int64),
    }
