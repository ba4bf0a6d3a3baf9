"""Track objects through a video, and smooth their boxes.

The tracks of a frame are a dict as of torchvision's detections, with `ids` (N,) int64 from 1: one number, one object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms

from lightloom.core.errors import UserError, install
from lightloom.core.ranges import NotNegative, Positive, Share
from lightloom.metrics.detection import Boxes, confident
from lightloom.tracking import steady

FADING = 0.9  # of a vote for a track's class, from box to box


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


class Steady(steady.Steady):
    """As tensors."""

    def _columns(self, rows: Sequence[tuple[Any, ...]]) -> Boxes:
        return {name: torch.from_numpy(values) for name, values in super()._columns(rows).items()}


def libraries() -> Any:
    """Import package `trackers`, needed for videos only."""
    try:
        import trackers
    except ModuleNotFoundError as error:
        raise UserError(
            f"trackers, which follows objects through a video, is not installed; {install('video')}."
        ) from error
    return trackers
