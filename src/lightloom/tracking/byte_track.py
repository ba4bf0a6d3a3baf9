"""Track objects through a video, and smooth their boxes.

The tracks of a frame are a dict as of torchvision's detections, with `ids` (N,) int64 from 1: one number, one object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms

from lightloom.core.errors import UserError, install
from lightloom.core.ranges import NotNegative, Positive, Share
from lightloom.metrics.detection import Boxes, confident
from lightloom.tracking.smoothing import Method

FADING = 0.9  # of a vote for a track's class, from box to box
FORGOTTEN = 30  # frames without a box, after which a path is begun anew


class ByteTrack:
    """ByteTrack (Zhang et al. 2022), by package `trackers`: boxes are matched by their overlap with where each track is
    expected; certain boxes first, then uncertain ones with the tracks that are left.

    Tracks are of objects, not of classes: a detector that takes an object for another class in one frame does not break
    its track, and the track's label is the class with the largest sum of its last scores. What a detector reports twice
    under two labels is one box first.

    rate: frames per second. min_score: of a box that begins a track. low_score: of one that may continue it. overlap:
    IoU above which two boxes of a frame are one. patience: seconds after which a track that was lost is given up. A
    track is sure, and has an id, at its second box.
    """

    def __init__(
        self,
        rate: Positive = 30.0,
        min_score: Share = 0.5,
        low_score: Share = 0.1,
        overlap: Share = 0.6,
        patience: NotNegative = 1.0,
    ) -> None:
        self._library = libraries()
        self.low_score, self.overlap = min(low_score, min_score), overlap
        self._tracker = self._library.ByteTrackTracker(
            lost_track_buffer=round(30 * patience),  # counted at 30 frames per second
            frame_rate=float(rate),
            track_activation_threshold=min_score,
            high_conf_det_threshold=min_score,
        )
        self._votes: dict[int, dict[int, float]] = {}

    def update(self, found: Boxes) -> Boxes:
        """The boxes of the next frame that belong to a track, each as it was detected, with `ids` and the tracks'
        labels. found: boxes (N, 4), labels (N,), scores (N,), and what else a detection has, such as masks (N, H, W).
        """
        import supervision

        seen = confident({name: values.cpu() for name, values in found.items()}, self.low_score)
        once = nms(seen["boxes"], seen["scores"], self.overlap)
        seen = {name: values[once] for name, values in seen.items()}
        detections = supervision.Detections(
            xyxy=seen["boxes"].double().numpy(),
            confidence=seen["scores"].double().numpy(),
            class_id=seen["labels"].numpy(),
            data={"place": np.arange(len(once))},
        )
        tracked = self._tracker.update(detections)
        tracked = tracked[tracked.tracker_id >= 0]
        places = torch.as_tensor(np.asarray(tracked.data.get("place", ()), dtype=np.int64))
        result = {name: values[places] for name, values in seen.items()}
        result["ids"] = torch.as_tensor(np.asarray(tracked.tracker_id, dtype=np.int64)) + 1
        return result | {"labels": self._voted(result)}

    def _voted(self, tracked: Boxes) -> Tensor:
        alive = {track.tracker_id + 1 for track in self._tracker.tracks}
        self._votes = {number: votes for number, votes in self._votes.items() if number in alive}
        labels = []
        for number, label, score in zip(*(tracked[name].tolist() for name in ("ids", "labels", "scores")), strict=True):
            votes = self._votes.setdefault(number, {})
            for other in votes:
                votes[other] *= FADING
            votes[label] = votes.get(label, 0.0) + score
            labels.append(max(votes, key=votes.__getitem__))
        return torch.tensor(labels, dtype=torch.int64)


@dataclass
class _Path:
    """A track's last lag + 1 frames, or those since it began: filter states and detections."""

    states: deque[Any]
    seen: deque[tuple[int, float] | None]  # label and score, None where it was not found
    unseen: int = 0  # frames up to the newest one
    last: tuple[int, float] = (0, 0.0)  # what was seen up to the frame that is shown next
    gap: int = 0  # frames unseen up to that one


class Steady:
    """Smooth tracks frame by frame by a method of `smoothing`, with a delay of `method.lag` frames.

    A track that was not found in up to `lag` frames is shown there all the same, between its boxes before and after,
    with the score of the one before. Memory does not grow with the video.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self._paths: dict[int, _Path] = {}
        self._waiting = 0

    def update(self, tracked: Boxes, seconds: float) -> Boxes | None:
        """Take in a frame, `seconds` after the one before; the steady tracks of the frame `lag` before it, if any."""
        found = zip(*(tracked[name].tolist() for name in ("ids", "boxes", "labels", "scores")), strict=True)
        news = {number: (np.array(box), label, score) for number, box, label, score in found}
        for number in news.keys() - self._paths.keys():
            length = self.method.lag + 1
            self._paths[number] = _Path(deque(maxlen=length), deque(maxlen=length))
        for number, path in list(self._paths.items()):
            box, *facts = news.get(number, (None,))
            before, score = path.states[-1] if path.states else None, facts[1] if facts else 0.0
            path.states.append(self.method.step(before, box, seconds, score))
            path.seen.append(tuple(facts) if facts else None)
            path.unseen = 0 if facts else path.unseen + 1
            if path.unseen > max(FORGOTTEN, self.method.lag):
                del self._paths[number]
        self._waiting += 1
        return self._oldest(self.method.lag + 1) if self._waiting > self.method.lag else None

    def flush(self) -> Iterator[Boxes]:
        """The tracks of the frames that are still waited for, with what has been seen by now."""
        while self._waiting:
            yield self._oldest(self._waiting)

    def _oldest(self, age: int) -> Boxes:
        """The tracks of the frame that came `age` frames ago, 1 for the newest; it is then done with."""
        rows = []
        for number, path in sorted(self._paths.items()):
            if len(path.states) < age:
                continue
            states, seen = list(path.states)[-age:], list(path.seen)[-age:]
            path.last, path.gap = seen[0] or path.last, 0 if seen[0] else path.gap + 1
            until = next((i for i, facts in enumerate(seen) if facts), None)
            if until is not None and path.gap + until - 1 <= self.method.lag:
                rows.append((number, self.method.smoothed(states), *path.last))
        self._waiting -= 1
        ids, boxes, labels, scores = zip(*rows, strict=True) if rows else ((), np.empty((0, 4)), (), ())
        return {
            "boxes": torch.as_tensor(np.array(boxes), dtype=torch.float32),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "scores": torch.tensor(scores, dtype=torch.float32),
            "ids": torch.tensor(ids, dtype=torch.int64),
        }


def libraries() -> Any:
    """Import package `trackers`, needed for videos only."""
    try:
        import trackers
    except ModuleNotFoundError as error:
        raise UserError(
            f"trackers, which follows objects through a video, is not installed; {install('video')}."
        ) from error
    return trackers
