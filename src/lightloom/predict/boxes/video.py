"""What `predict.py` does with a detector and a video: its objects followed, steadied, drawn and written, one frame
after another.
"""

from __future__ import annotations

import itertools
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lightloom.callbacks.boxes.overlays import drawn_on
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.core.atomic_io import deduplicate
from lightloom.core.errors import UserError, raise_all
from lightloom.core.screen import show_table
from lightloom.data.boxes.writers import Boxes as FrameBoxes
from lightloom.metrics.detection import Boxes
from lightloom.predict.boxes.finding import Find, chosen_classes, finder
from lightloom.predict.boxes.predictor import Predictor
from lightloom.predict.boxes.writers import WRITERS, write_crops
from lightloom.predict.images.sources import Sources
from lightloom.predict.interruption import until_interrupted
from lightloom.tracking.byte_track import ByteTrack, Steady
from lightloom.tracking.measures import Tremor, clear_mot, jitter
from lightloom.tracking.mot import TrackFiles, Tracks, no_tracks, read_tracks
from lightloom.tracking.smoothing import Unsmoothed
from lightloom.tracking.video import Frame, VideoReader, VideoWriter, name_of, open_video

log = logging.getLogger("lightloom")
FRAMES = 8  # of a file, at a time: a third less work a frame than one by one


def detect_videos(cfg: DictConfig, trained: DictConfig, predictor: Predictor, sources: Sources) -> None:
    """Each video in turn; what is wrong with one is said when all are done."""
    only = chosen_classes(cfg.classes, plain(trained.data.classes))
    low_score = min(cfg.min_score, cfg.tracking.get("low_score", 0.0))
    find = finder(cfg, predictor, only, low_score)
    problems: list[str] = []
    videos = sources.videos
    for where, name in zip(videos, deduplicate(name_of(where) for where in videos), strict=True):
        folder = Path(cfg.paths.output_dir, *([] if len(videos) == 1 else [name]))
        try:
            detect_video(cfg, trained, find, open_video(where, cfg.stride), name, folder)
        except UserError as error:
            problems += str(error).splitlines()
    raise_all(problems)


@torch.inference_mode()
def detect_video(
    cfg: DictConfig, trained: DictConfig, find: Find, reader: VideoReader, name: str, folder: Path
) -> None:
    """In `folder` `name`.mp4 with the tracks drawn; `name`.csv and `name`.txt with them; each frame's boxes where
    `format` asks.

    Frames are held only until they are drawn, `lag` of them; of the boxes those of all frames are held where `format`
    or `truth` needs them. A video that ends before its time is written as far as it goes, and is an error then; Ctrl-C
    ends a camera's video.
    """
    classes = plain(trained.data.classes)
    truth = read_tracks(Path(cfg.truth).expanduser()) if cfg.truth else None
    rate = reader.rate / cfg.stride
    tracker = build(cfg.tracking, "tracking", rate=float(rate))
    method = build(cfg.smoothing, "smoothing") if cfg.get("smoothing") else Unsmoothed()
    kept = Kept(cfg.format not in (None, "csv"), truth is not None)
    started, at_once = time.monotonic(), 1 if reader.is_live else cfg.batch_size or FRAMES
    with progress(_expected(cfg, reader)) as show, until_interrupted() as stopped:
        frames = limited(reader, cfg.max_frames, cfg.seconds, stopped)
        found = followed(frames, find, tracker, Steady(method), at_once)
        _write_frames(cfg, found, kept, folder / name, rate, classes, show)
        interrupted = stopped()
    report(kept, name, method)
    if kept.count:
        _say_what_was_written(cfg, kept, method, folder / name, time.monotonic() - started, classes)
        if truth is not None:
            compare(truth, kept, cfg.stride)
    if reader.fault:
        raise UserError(reader.fault)
    if interrupted and not reader.is_live:
        raise KeyboardInterrupt


def _write_frames(
    cfg: DictConfig,
    found: Iterable[tuple[Frame, Boxes, Boxes]],
    kept: Kept,
    stem: Path,
    rate: Fraction,
    classes: Sequence[str],
    show: Callable[[int], None],
) -> None:
    """Draw and write down each frame as it comes. stem: of the files, without a suffix."""
    with (
        VideoWriter(stem.with_name(f"{stem.name}.mp4"), rate) if cfg.draw else nullcontext() as writer,
        TrackFiles(stem, classes) as files,
    ):
        for count, (frame, raw, steady) in enumerate(found, 1):
            number = 1 + (count - 1) * cfg.stride
            if writer:
                writer.write(drawn_on(frame.image, with_masks(steady, raw), classes), frame.seconds)
            if cfg.save_crops:
                write_crops(stem.parent / "crops", f"{stem.name}_{number:06d}", frame.image, steady, classes)
            files.write(number, steady)
            kept.add(frame, raw, steady, f"{stem.name}_{number:06d}")
            show(count)


def _say_what_was_written(
    cfg: DictConfig, kept: Kept, method: Any, stem: Path, seconds: float, classes: Sequence[str]
) -> None:
    """Write each frame's boxes where `format` asks for them; name all files. stem: of them, without a suffix."""
    if kept.boxes:
        where, write = WRITERS[cfg.format]
        write(stem.parent / where, kept.boxes, classes)
    log.info(
        "%d frames at %.1f frames/s, smoothed by %s with a lag of %d frames: %stracks in %s.csv and %s.txt",
        kept.count, kept.count / max(seconds, 1e-9), type(method).__name__, method.lag,
        f"{stem}.mp4, " if cfg.draw else "", stem, stem.name,
    )  # fmt: skip


def followed(
    frames: Iterable[Frame], find: Find, tracker: ByteTrack, steady: Steady, at_once: int = 1
) -> Iterator[tuple[Frame, Boxes, Boxes]]:
    """Each frame with its tracks, as they were detected and steadied; the latter's lag of frames is held at a time.

    at_once: frames that are looked at together.
    """
    waiting: deque[tuple[Frame, Boxes]] = deque()
    before = 0.0
    for frame, found in _looked_at(frames, find, at_once):
        raw = tracker.update(found)
        waiting.append((frame, raw))
        smoothed = steady.update(raw, max(frame.seconds - before, 1e-6))
        before = frame.seconds
        del frame
        if smoothed is not None:
            yield *waiting.popleft(), smoothed
    for smoothed in steady.flush():
        yield *waiting.popleft(), smoothed


def _looked_at(frames: Iterable[Frame], find: Find, at_once: int) -> Iterator[tuple[Frame, Boxes]]:
    rest = iter(frames)
    while some := list(itertools.islice(rest, at_once)):
        found = find([frame.image for frame in some])
        while some:
            yield some.pop(0), found.pop(0)


class Kept:
    """What outlives a frame: counts and sums; the boxes of all frames where they are asked for."""

    def __init__(self, boxes: bool, tracks: bool) -> None:
        self._boxes, self._tracks = boxes, tracks
        self.count, self.objects = 0, 0
        self.seen: set[int] = set()
        self.tremor = Tremor(), Tremor()
        self.boxes: list[FrameBoxes] = []
        self.raw: list[Tracks] = []
        self.steady: list[Tracks] = []

    def add(self, frame: Frame, raw: Boxes, steady: Boxes, name: str) -> None:
        self.add_tracks(raw, steady)
        if self._boxes:
            size = (frame.image.shape[1], frame.image.shape[2])
            self.boxes.append(FrameBoxes(f"{name}.png", size, steady["boxes"], steady["labels"], steady["scores"]))

    def add_tracks(self, raw: Boxes, steady: Boxes) -> None:
        self.count += 1
        self.objects += len(steady["ids"])
        self.seen |= set(steady["ids"].tolist())
        for tremor, tracks in zip(self.tremor, (raw, steady), strict=True):
            tremor.update(tracks)
        if self._tracks:
            self.raw.append(raw)
            self.steady.append(steady)


def report(kept: Kept, name: str, method: Any) -> None:
    """How many objects were followed, and how much their boxes tremble before and after."""
    columns = ("video", "frames", "tracks", "boxes", "tremor (px)", f"{type(method).__name__}, lag {method.lag}")
    raw, steady = (f"{tremor.value:.3f}" for tremor in kept.tremor)
    show_table(columns, [(name, kept.count, len(kept.seen), kept.objects, raw, steady)])
    if kept.count and not kept.objects:
        log.warning(
            "%s: no object was found in its %d frames; a lower min_score= shows less certain ones.", name, kept.count
        )


def compare(truth: dict[int, Tracks], kept: Kept, stride: int) -> None:
    """MOTA, identity switches and jitter of the tracks before and after smoothing, over the frames that were seen."""
    true = [truth.get(1 + number * stride, no_tracks()) for number in range(kept.count)]
    if not any(len(frame["ids"]) for frame in true):
        raise UserError(
            f"truth: it has no box in the {kept.count} frames that were seen (its frames are {min(truth)} to "
            f"{max(truth)}); name the truth of this video."
        )
    header = ("MOTA", "ID switches", "misses", "false", "jitter (px)")
    rows = []
    for title, tracks in (("raw", kept.raw), ("smoothed", kept.steady)):
        found = clear_mot(true, tracks)
        counts = [str(found[key]) for key in ("id_switches", "misses", "false_boxes")]
        rows.append((title, f"{found['mota']:.4f}", *counts, f"{jitter(true, tracks):.3f}"))
    show_table(("tracks", *header), rows)


def limited(
    frames: Iterable[Frame], max_frames: int | None, seconds: float | None, stopped: Callable[[], bool]
) -> Iterator[Frame]:
    """The first `max_frames` frames, those before `seconds`, and those before it is to be stopped."""
    for frame in itertools.islice(frames, max_frames):
        if stopped() or (seconds is not None and frame.seconds >= seconds):
            return
        yield frame


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar with the rate in a terminal, as in training; nothing in a log."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    columns = (TextColumn("frame"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("", total=total, rate="")

        def show(done: int) -> None:
            bar.update(task, completed=done, rate=f"{done / max(time.monotonic() - started, 1e-9):.1f} frames/s")

        yield show


def with_masks(steady: Boxes, raw: Boxes) -> Boxes:
    """The steadied tracks of a frame with the masks that were found in it, where any were."""
    if "masks" not in raw:
        return steady
    masks = dict(zip(raw["ids"].tolist(), raw["masks"], strict=True))
    none = raw["masks"].new_zeros(raw["masks"].shape[1:])
    found = [masks.get(number, none) for number in steady["ids"].tolist()]
    return steady | {"masks": torch.stack(found) if found else raw["masks"][:0]}


def _expected(cfg: DictConfig, reader: VideoReader) -> int | None:
    of_reader = reader.count and -(-reader.count // cfg.stride)
    known = [of_reader, cfg.max_frames, cfg.seconds and round(cfg.seconds * float(reader.rate) / cfg.stride)]
    return min((n for n in known if n), default=None)
