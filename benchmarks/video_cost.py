"""CPU milliseconds that predict.py takes for a frame of a film in 480p, step by step, and what x264's presets cost.

    python benchmarks/video_cost.py <checkpoint | run folder> [--video <file>] [--frames 100] [--rounds 3]

Without a video a film of moving digits is drawn, 854 x 480. Each round runs the whole command in this process, without
its start; the steps are measured one by one on the same frames. One thread of torch; x264 takes as many as it likes,
which all count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.callbacks.boxes.overlays import drawn_on
from lightloom.config.compose import compose, without_hydra
from lightloom.core.run_dir import find_checkpoint
from lightloom.data.boxes.scenes import draw_film
from lightloom.engine import checkpoint
from lightloom.predict import choose
from lightloom.predict.boxes.video import FRAMES
from lightloom.tracking import video
from lightloom.tracking.byte_track import ByteTrack, Steady
from lightloom.tracking.smoothing import KalmanSmoother
from lightloom.tracking.video import ENCODING, VideoReader, VideoWriter

SIZE, RATE = (480, 854), Fraction(25)
PRESETS = (ENCODING, *({"preset": name, "crf": "20"} for name in ("medium", "faster", "veryfast", "superfast")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ckpt", type=Path)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    trained, module = checkpoint.restore(find_checkpoint(str(args.ckpt), Path(), prefer="best"))
    module.eval()
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        frames = read(args.video, args.frames) if args.video else draw(args.frames)
        film = Path(scratch) / "film.mp4"
        write(film, frames, {"preset": "medium", "crf": "16"})
        cfg = without_hydra(compose("predict", ["trainer=cpu", f"input={film}"]))
        cfg.paths.output_dir = str(Path(scratch) / "out")

        def command() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                choose.choose(cfg, trained, module).run(cfg, trained, choose.settle(cfg, module))

        costs = [per_frame(command, len(frames)) for _ in range(args.rounds)]
        print(f"{trained.run_name}, {len(frames)} frames of {SIZE[1]} x {SIZE[0]}, n={args.rounds}")
        print(f"{statistics.median(costs):6.1f} ms a frame [{min(costs):.1f} .. {max(costs):.1f}], the whole command")
        steps(film, module, list(trained.data.classes))
        for options in PRESETS:
            encode(Path(scratch) / "again.mp4", frames, options)


def per_frame(do: Callable[[], object], frames: int) -> float:
    started = time.process_time()
    do()
    return 1000 * (time.process_time() - started) / frames


def read(path: Path, count: int) -> list[Tensor]:
    found = []
    for frame, _ in zip(VideoReader(path), range(count), strict=False):
        scaled = interpolate(frame.image[None].float(), SIZE, mode="bilinear", antialias=True)
        found.append(scaled[0].round().byte())
    return found


def draw(count: int) -> list[Tensor]:
    film = draw_film(100, count, 128, 4)
    return [interpolate(image[None].float(), SIZE, mode="bilinear")[0].round().byte() for image in film.frames]


def write(path: Path, frames: Sequence[Tensor], options: dict[str, str]) -> None:
    with mock.patch.object(video, "ENCODING", options), VideoWriter(path, RATE) as writer:
        for number, image in enumerate(frames):
            writer.write(image, float(number / RATE))


def steps(film: Path, module: torch.nn.Module, classes: list[str]) -> None:
    images = [frame.image for frame in VideoReader(film)]
    found = [module.detect([image.float() / 255])[0] for image in images]
    tracker, steady = ByteTrack(rate=25.0), Steady(KalmanSmoother())
    tracked = [tracker.update(one) for one in found]
    for name, do in {
        "decoding": lambda: list(VideoReader(film)),
        "detection, frame by frame": lambda: [module.detect([image.float() / 255]) for image in images],
        f"detection, {FRAMES} frames at once": lambda: [
            module.detect([image.float() / 255 for image in images[i : i + FRAMES]])
            for i in range(0, len(images), FRAMES)
        ],
        "tracking": lambda: list(map(ByteTrack(rate=25.0).update, found)),
        "smoothing": lambda: [steady.update(one, 0.04) for one in tracked],
        "drawing": lambda: [drawn_on(*pair, classes) for pair in zip(images, tracked, strict=True)],
    }.items():
        print(f"{per_frame(do, len(images)):6.1f} ms a frame, {name}")


def encode(path: Path, frames: Sequence[Tensor], options: dict[str, str]) -> None:
    cost = per_frame(lambda: write(path, frames, options), len(frames))
    again = [frame.image for frame in VideoReader(path)]
    errors = [float((a.double() - b.double()).square().mean()) for a, b in zip(frames, again, strict=True)]
    decibels = 10 * np.log10(255**2 / np.mean(errors))
    size = path.stat().st_size / len(frames) / 1000
    title = ", ".join(f"{name} {value}" for name, value in options.items())
    print(f"{cost:6.1f} ms a frame, x264 {title}: {size:.1f} kB, {decibels:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
