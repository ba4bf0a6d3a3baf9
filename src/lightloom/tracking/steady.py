"""Steady the boxes of tracks through a film, frame by frame, by numpy alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightloom.tracking.smoothing import Method

FORGOTTEN = 30  # frames without a box, after which a path is begun anew


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

    def update(self, tracked: Mapping[str, Any], seconds: float) -> Any:
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

    def flush(self) -> Iterator[Any]:
        """The tracks of the frames that are still waited for, with what has been seen by now."""
        while self._waiting:
            yield self._oldest(self._waiting)

    def _oldest(self, age: int) -> Any:
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
        return self._columns(rows)

    def _columns(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        ids, boxes, labels, scores = zip(*rows, strict=True) if rows else ((), np.empty((0, 4)), (), ())
        return {
            "boxes": np.array(boxes, dtype=np.float32),
            "labels": np.array(labels, dtype=np.int64),
            "scores": np.array(scores, dtype=np.float32),
            "ids": np.array(ids, dtype=np.int64),
        }
