"""Read and write tracks: CSV with a header, and the text of the MOT challenge. Frames count from 1.

In memory, the tracks of a frame are a dict: boxes (N, 4) xyxy in pixels, ids (N,); labels from 1 and scores where there
are any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightloom.core import cells
from lightloom.core.documents import read_text
from lightloom.core.errors import UserError

Tracks = dict[str, Tensor]
HEADER = ["frame", "track", "class", "x1", "y1", "x2", "y2", "score"]
CORNERS = HEADER[3:7]
MOST = 2**53  # frames, and numbers of tracks


class TrackFiles:
    """`path`.csv and `path`.txt, written frame by frame.

    The text has frame, id, left, top, width, height, score, -1, -1, -1, its pixels counted from 1 (MOTChallenge 2015).
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self.classes = classes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._files = [cells.open_csv(path.with_name(path.name + suffix), "w") for suffix in (".csv", ".txt")]
        self._table, self._text = cells.Writer(self._files[0]), self._files[1]
        self._table.write(HEADER)

    def __enter__(self) -> TrackFiles:
        return self

    def __exit__(self, *error: Any) -> None:
        for file in self._files:
            file.close()

    def write(self, frame: int, tracks: Tracks) -> None:
        facts = (tracks[name].tolist() for name in ("ids", "labels", "boxes", "scores"))
        for number, label, (x1, y1, x2, y2), score in zip(*facts, strict=True):
            corners = [f"{value:.3f}" for value in (x1, y1, x2, y2)]
            self._table.write([frame, number, self.classes[label - 1], *corners, f"{score:.6g}"])
            placed = ",".join(f"{value:.3f}" for value in (x1 + 1, y1 + 1, x2 - x1, y2 - y1))
            self._text.write(f"{frame},{number},{placed},{score:.6g},-1,-1,-1\n")


def read_tracks(path: Path) -> dict[int, Tracks]:
    """frame -> boxes and ids, from either kind of file; a MOT line whose seventh number is 0 is not to be looked at.

    UserError for a file that is missing, holds something else, or has a track twice in a frame.
    """
    try:
        rows = list(cells.rows(read_text(path).splitlines()))
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"truth={path}: cannot be read ({error}); name a MOT text file or a CSV of tracks.") from error
    found: dict[int, dict[int, list[float]]] = {}
    table = bool(rows) and "frame" in rows[0]
    for number, row in enumerate(rows[table:], 1 + table):
        if not row:
            continue
        try:
            frame, track, box = _from_table(dict(zip(rows[0], row, strict=False))) if table else _from_mot(row)
        except (ValueError, OverflowError, KeyError, IndexError) as error:
            raise UserError(
                f"truth={path}, line {number}: {','.join(row)[:60]!r} is no box; expected, with frames from 1, "
                f"frame,id,left,top,width,height,... (MOT challenge), or a CSV whose header has "
                f"{', '.join([*HEADER[:2], *CORNERS])}."
            ) from error
        if box is None:
            continue
        if track in found.setdefault(frame, {}):
            raise UserError(f"truth={path}, line {number}: frame {frame} has track {track} twice; remove one of them.")
        found[frame][track] = box
    if not found:
        raise UserError(f"truth={path}: there is no box in it; name a file with true tracks.")
    return {frame: _tracks(boxes) for frame, boxes in sorted(found.items())}


def no_tracks() -> Tracks:
    """The tracks of an empty frame."""
    return _tracks({})


def _tracks(boxes: dict[int, list[float]]) -> Tracks:
    return {
        "ids": torch.tensor(list(boxes), dtype=torch.int64),
        "boxes": torch.tensor(list(boxes.values()), dtype=torch.float32).reshape(-1, 4),
    }


def _from_table(row: dict[str, str]) -> tuple[int, int, list[float]]:
    return _checked(float(row["frame"]), float(row["track"]), [float(row[name]) for name in CORNERS])


def _from_mot(row: list[str]) -> tuple[int, int, list[float] | None]:
    frame, track, left, top, width, height = (float(value) for value in row[:6])
    if len(row) > 6 and float(row[6]) == 0:
        return int(frame), int(track), None
    return _checked(frame, track, [left - 1, top - 1, left - 1 + width, top - 1 + height])


def _checked(frame: float, track: float, box: list[float]) -> tuple[int, int, list[float]]:
    if not 1 <= frame < MOST or frame % 1 or not abs(track) < MOST or track % 1:
        raise ValueError("frame and id are whole numbers, frames from 1")
    x1, y1, x2, y2 = box
    if not (-math.inf < x1 < x2 < math.inf and -math.inf < y1 < y2 < math.inf):
        raise ValueError("a box has finite corners and an area")
    return int(frame), int(track), box
