"""Jitter, error and MOTA of smoothed tracks, where true boxes are moved by noise of several levels.

    python benchmarks/smoothing.py [--truth <MOT text or CSV> --rate 10] [--films 6] [--frames 150]

True tracks are those of moving digits, 128 pixels square, and of `--truth`, such as MOT15's of people in vtest.avi. A
level is the deviation of a corner's coordinates over the box's side, the root of its area; of the boxes one in twenty
is not detected. ByteTrack follows what is left. Jitter is the deviation of the error's change between frames; error
the root mean square of the corners' distance from the truth in each coordinate; both in pixels, of the boxes whose IoU
with the truth is 0.5 or more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from lightloom.data.boxes.scenes import draw_film
from lightloom.metrics.detection import Boxes
from lightloom.tracking.byte_track import ByteTrack, Steady
from lightloom.tracking.measures import clear_mot, deviations, jitter
from lightloom.tracking.mot import Tracks, no_tracks, read_tracks
from lightloom.tracking.smoothing import KalmanSmoother, Method, OneEuro, Unsmoothed

LEVELS = (0.0, 0.01, 0.03, 0.06)
MISSED = 0.05
METHODS: dict[str, Method] = {
    "none": Unsmoothed(),
    "kalman, lag 0": KalmanSmoother(lag=0),
    "kalman, lag 10": KalmanSmoother(),
    "one_euro": OneEuro(),
}
Video = tuple[float, list[Tracks]]  # frames per second, and the true tracks of each frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second of the truth")
    parser.add_argument("--films", type=int, default=6)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--seed", type=int, default=100, help="of the first film")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sets = {f"{args.films} films of 4 digits": digits(args)}
    if args.truth:
        sets[args.truth.name] = [(args.rate, every_frame(read_tracks(args.truth)))]
    for name, videos in sets.items():
        print(f"{name}, {sum(len(truth) for _, truth in videos)} frames")
        print(f"{'noise':>6} {'jitter':>8} {'error':>8} {'MOTA':>8} {'switches':>9}  boxes")
        for level in LEVELS:
            found = [detected(truth, level, np.random.default_rng(i)) for i, (_, truth) in enumerate(videos)]
            for title, method in METHODS.items():
                print(f"{level:6.2f} {measured(videos, found, method)}  {title}", flush=True)


def digits(args: argparse.Namespace) -> list[Video]:
    films = [draw_film(args.seed + i, args.frames, 128, 4) for i in range(args.films)]
    return [(25.0, [{"ids": torch.arange(1, 5), "boxes": boxes} for boxes in film.boxes]) for film in films]


def every_frame(truth: dict[int, Tracks]) -> list[Tracks]:
    return [truth.get(number, no_tracks()) for number in range(1, max(truth) + 1)]


def detected(truth: list[Tracks], level: float, rng: np.random.Generator) -> list[Boxes]:
    """The true boxes as a detector with noise sees them."""
    found = []
    for frame in truth:
        boxes = frame["boxes"].double().numpy()[rng.random(len(frame["boxes"])) >= MISSED]
        sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1, keepdims=True))
        boxes = torch.from_numpy(boxes + level * sides * rng.standard_normal(boxes.shape)).float()
        count = len(boxes)
        found.append({"boxes": boxes, "labels": torch.ones(count).long(), "scores": torch.full((count,), 0.9)})
    return found


def measured(videos: list[Video], found: list[list[Boxes]], method: Method) -> str:
    truth: list[Tracks] = []
    tracks: list[Tracks] = []
    for number, ((rate, true), boxes) in enumerate(zip(videos, found, strict=True)):
        tracker, steady = ByteTrack(rate=rate), Steady(method)
        shown = [steady.update(tracker.update(one), 1 / rate) for one in boxes]
        for frames, own in ((true, truth), ([f for f in shown if f is not None] + list(steady.flush()), tracks)):
            own += [frame | {"ids": frame["ids"] + 1_000_000 * number} for frame in frames]  # no id is in two videos
    counts = clear_mot(truth, tracks)
    error = np.sqrt(np.square(deviations(truth, tracks)).mean())
    return f"{jitter(truth, tracks):8.3f} {error:8.3f} {counts['mota']:8.4f} {counts['id_switches']:9}"


if __name__ == "__main__":
    main()
