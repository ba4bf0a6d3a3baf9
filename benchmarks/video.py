"""Jitter, MOTA and identity switches in videos with known tracks: boxes as they were detected, and smoothed.

    python benchmarks/video.py <checkpoint | run folder> [--films 12] [--frames 150] [--folder <for the films>]
    python benchmarks/video.py <checkpoint | run folder> --video <file> --truth <MOT text or CSV> [--classes person]

Without a video, films of moving digits are drawn, whose tracks are known to a fraction of a pixel; they are written as
H.264 and read again, as any video is. The detector sees each frame once, and ByteTrack and the smoothers what it found.
All films count as one long video.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import torch

from lightloom.core.run_dir import find_checkpoint
from lightloom.data.boxes.scenes import draw_film
from lightloom.data.images.datamodule import to_float
from lightloom.engine import checkpoint
from lightloom.metrics.detection import Boxes
from lightloom.predict.boxes.images import chosen_classes, of_classes
from lightloom.tracking.byte_track import ByteTrack, Steady
from lightloom.tracking.measures import clear_mot, jitter
from lightloom.tracking.mot import TrackFiles, Tracks, no_tracks, read_tracks
from lightloom.tracking.smoothing import KalmanSmoother, Method, OneEuro, Unsmoothed
from lightloom.tracking.video import VideoReader, VideoWriter

RATE = Fraction(25)
METHODS = {
    "as detected": Unsmoothed(),
    "kalman, lag 0": KalmanSmoother(lag=0),
    "kalman, lag 2": KalmanSmoother(lag=2),
    "kalman, lag 4": KalmanSmoother(lag=4),
    "kalman, lag 10": KalmanSmoother(lag=10),
    "one_euro": OneEuro(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ckpt", type=Path)
    parser.add_argument("--films", type=int, default=12)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=4, help="of digits")
    parser.add_argument("--seed", type=int, default=100, help="of the first film")
    parser.add_argument("--folder", type=Path, help="where films and their truth are kept")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--classes", nargs="+")
    args = parser.parse_args()

    torch.set_num_threads(1)
    trained, module = checkpoint.restore(find_checkpoint(str(args.ckpt), Path(), prefer="best"))
    module.eval()
    classes = list(trained.data.classes)
    only = chosen_classes(args.classes, classes)
    with tempfile.TemporaryDirectory() as scratch:
        videos = [(args.video, args.truth)] if args.video else draw(args, args.folder or Path(scratch), classes)
        started, seen = time.monotonic(), list(look(module, videos, only))
    frames = sum(len(found) for _, found, _ in seen)
    source = args.video.name if args.video else f"{args.films} films of {args.count} digits, {args.size} pixels square"
    print(f"{trained.run_name} on {source}, {frames} frames, torch {torch.__version__}, 1 thread")
    print(f"{frames / (time.monotonic() - started):.1f} frames/s decoded and looked at")
    report(seen)


def draw(args: argparse.Namespace, folder: Path, classes: list[str]) -> Iterable[tuple[Path, Path]]:
    """Films and their truth as files: H.264, and tracks in CSV and MOT text."""
    for seed in range(args.seed, args.seed + args.films):
        film, path = draw_film(seed, args.frames, args.size, args.count), folder / f"digits_{seed}.mp4"
        ids, scores = torch.arange(1, args.count + 1), torch.ones(args.count)
        with VideoWriter(path, RATE) as writer, TrackFiles(folder / f"digits_{seed}", classes) as files:
            for number, (image, boxes) in enumerate(zip(film.frames, film.boxes, strict=True)):
                writer.write(image, float(number / RATE))
                files.write(number + 1, {"ids": ids, "labels": film.labels, "boxes": boxes, "scores": scores})
        yield path, path.with_suffix(".csv")


@torch.inference_mode()
def look(
    module: torch.nn.Module, videos: Iterable[tuple[Path, Path]], only: list[int] | None
) -> Iterable[tuple[float, list[Boxes], list[Tracks]]]:
    """Of each video the rate, what the detector finds, and the truth, frame by frame."""
    for path, truth in videos:
        reader, true = VideoReader(path), read_tracks(truth)
        found = [of_classes(module.detect([to_float(frame.image)])[0], only) for frame in reader]
        yield float(reader.rate), found, [true.get(number, no_tracks()) for number in range(1, len(found) + 1)]


def report(seen: list[tuple[float, list[Boxes], list[Tracks]]]) -> None:
    truth = joined(true for _, _, true in seen)
    raw = 0.0
    print(f"{'jitter px':>10} {'falls by':>9} {'MOTA':>8} {'switches':>9} {'misses':>7} {'false':>6}  boxes")
    for name, method in METHODS.items():
        tracks = joined(follow(found, rate, method) for rate, found, _ in seen)
        found, trembles = clear_mot(truth, tracks), jitter(truth, tracks)
        raw = raw or trembles
        print(
            f"{trembles:10.3f} {1 - trembles / raw:9.1%} {found['mota']:8.4f} {found['id_switches']:9} "
            f"{found['misses']:7} {found['false_boxes']:6}  {name}"
        )


def follow(found: list[Boxes], rate: float, method: Method) -> list[Tracks]:
    tracker, steady = ByteTrack(rate=rate), Steady(method)
    tracks = [steady.update(tracker.update(one), 1 / rate) for one in found]
    return [one for one in tracks if one is not None] + list(steady.flush())


def joined(videos: Iterable[list[Tracks]]) -> list[Tracks]:
    """One video after another; no id is in two of them."""
    return [frame | {"ids": frame["ids"] + 1_000_000 * i} for i, video in enumerate(videos) for frame in video]


if __name__ == "__main__":
    main()
