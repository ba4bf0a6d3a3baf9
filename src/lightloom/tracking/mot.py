"""Read and write tracks: CSV with a header, and the text of the MOT challenge. Frames count from 1.

In memory, the tracks of a frame are a dict: boxes (N, 4) xyxy in pixels, ids (N,); labels from 1 and scores where there
are any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    """frame -> boxes and ids of true tracks, from either kind of file.

    A MOT line whose seventh number is 0 is not to be looked at. UserError for a file that is missing, holds something
    else, or has a track twice in a frame.
    """
    found: dict[int, dict[int, list[float]]] = {}
    for number, row in _read(path, "truth"):
        if row.track is None:
            raise UserError(f"truth={path}, line {number}: a track without a number; name a file with true tracks.")
        if row.score == 0:
            continue
        if row.track in found.setdefault(row.frame, {}):
            raise UserError(
                f"truth={path}, line {number}: frame {row.frame} has track {row.track} twice; remove one of them."
            )
        found[row.frame][row.track] = row.box
    if not found:
        raise UserError(f"truth={path}: there is no box in it; name a file with true tracks.")
    return {frame: _tracks(boxes) for frame, boxes in sorted(found.items())}


def read_boxes(path: Path) -> tuple[dict[int, Tracks], list[str]]:
    """frame -> boxes, scores, labels and, where all boxes of the file have them, ids; and the names of the classes.

    A score that the file does not state, or states above 1, is 1; a line with 0 is left out, as MOT's truth has it. MOT
    text knows no classes: all are `object`.
    """
    rows: dict[int, list[Row]] = {}
    for number, row in _read(path, "boxes"):
        if row.score == 0:
            continue
        known = rows.setdefault(row.frame, [])
        if row.track is not None and any(row.track == other.track for other in known):
            raise UserError(
                f"boxes={path}, line {number}: frame {row.frame} has track {row.track} twice; remove one of them."
            )
        known.append(row)
    if not rows:
        raise UserError(f"boxes={path}: there is no box in it; name a file with boxes.")
    classes = list(dict.fromkeys(row.name for frame in rows.values() for row in frame))
    tracked = all(row.track is not None for frame in rows.values() for row in frame)
    return {frame: _boxes(of, classes, tracked) for frame, of in sorted(rows.items())}, classes


def no_tracks() -> Tracks:
    """The tracks of an empty frame."""
    return _tracks({})


def no_boxes() -> Tracks:
    """What `read_boxes` has of an empty frame."""
    return _boxes([], [], tracked=False)


@dataclass(frozen=True)
class Row:
    """A line of a file: box xyxy in pixels; track: None where it has no number."""

    frame: int
    track: int | None
    box: list[float]
    score: float
    name: str = "object"


def _read(path: Path, option: str) -> Iterator[tuple[int, Row]]:
    """The lines that hold a box, with their numbers."""
    try:
        rows = list(cells.rows(read_text(path).splitlines()))
    except (OSError, ValueError, UserError) as error:
        raise UserError(
            f"{option}={path}: cannot be read ({error}); name a MOT text file or a CSV of boxes."
        ) from error
    table = bool(rows) and "frame" in rows[0]
    for number, row in enumerate(rows[table:], 1 + table):
        if not row:
            continue
        try:
            found = _from_table(dict(zip(rows[0], row, strict=False))) if table else _from_mot(row)
        except (ValueError, OverflowError, KeyError, IndexError) as error:
            raise UserError(
                f"{option}={path}, line {number}: {','.join(row)[:60]!r} is no box; expected, with frames from 1, "
                f"frame,id,left,top,width,height,... (MOT challenge), or a CSV whose header has "
                f"{', '.join([*HEADER[:2], *CORNERS])}."
            ) from error
        yield number, found


def _tracks(boxes: dict[int, list[float]]) -> Tracks:
    return {
        "ids": torch.tensor(list(boxes), dtype=torch.int64),
        "boxes": torch.tensor(list(boxes.values()), dtype=torch.float32).reshape(-1, 4),
    }


def _boxes(rows: Sequence[Row], classes: Sequence[str], tracked: bool) -> Tracks:
    found = {
        "boxes": torch.tensor([row.box for row in rows], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([classes.index(row.name) + 1 for row in rows], dtype=torch.int64),
        "scores": torch.tensor([row.score if 0 < row.score <= 1 else 1.0 for row in rows]),
    }
    return found | ({"ids": torch.tensor([row.track for row in rows])} if tracked else {})


def _from_table(row: dict[str, str]) -> Row:
    track, score = row.get("track"), row.get("score")
    box = [float(row[name]) for name in CORNERS]
    return _checked(row["frame"], track or None, box, float(score) if score else 1.0, row.get("class") or "object")


def _from_mot(row: list[str]) -> Row:
    left, top, width, height = (float(value) for value in row[2:6])
    score = float(row[6]) if len(row) > 6 and row[6] else 1.0
    track = None if float(row[1]) == -1 else row[1]
    return _checked(row[0], track, [left - 1, top - 1, left - 1 + width, top - 1 + height], score)


def _checked(frame: str, track: str | None, box: list[float], score: float, name: str = "object") -> Row:
    numbers = [float(frame), *([] if track is None else [float(track)])]
    if not 1 <= numbers[0] < MOST or any(number % 1 or not abs(number) < MOST for number in numbers):
        raise ValueError("frame and id are whole numbers, frames from 1")
    x1, y1, x2, y2 = box
    if not (-math.inf < x1 < x2 < math.inf and -math.inf < y1 < y2 < math.inf) or math.isnan(score):
        raise ValueError("a box has finite corners and an area")
    return Row(int(numbers[0]), None if track is None else int(numbers[1]), box, score, name)
