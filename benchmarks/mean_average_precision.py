"""COCO's measures of boxes as lightloom computes them against torchmetrics' pycocotools backend: seconds of CPU time.

    python benchmarks/mean_average_precision.py [--images 300] [--boxes 50] [--classes 10 80] [--rounds 7]

Needs pycocotools (in the extra `dev`). Each image has as many detections as truths: boxes moved by up to a quarter of
their sides, one in five of a random class, with random scores. Both get the images in batches of eight and compute
once; with and without the figures of each class, as a test and a validation do. They take turns in one process with one
thread, after a first round that is not counted. All figures must agree to 1e-6, or there is no result.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torchmetrics
from torchmetrics.detection import MeanAveragePrecision

from lightloom.metrics.detection import SUMMARY, Boxes, CocoPrecision

BATCH, SIDE = 8, 640
TOLERANCE = 1e-6
Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--boxes", type=int, default=50)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 80])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    versions = f"torch {torch.__version__}, torchmetrics {torchmetrics.__version__}"
    print(f"{args.images} images of {args.boxes} boxes, {versions}, 1 thread")
    for classes in args.classes:
        found, truths = scenes(args.images, args.boxes, classes)
        for per_class in (False, True):
            ways = {"lightloom": partial(ours, found, truths, per_class)}
            ways["pycocotools"] = partial(theirs, found, truths, per_class)
            title = f"{classes} classes, {'figures of each class too' if per_class else 'no figures of a class'}"
            compare(title, ways, args.rounds)


def scenes(images: int, boxes: int, classes: int, seed: int = 0) -> tuple[list[Boxes], list[Boxes]]:
    """Detections and truths of random sizes, from a few pixels to a quarter of an image's side."""
    generator = torch.Generator().manual_seed(seed)
    found, truths = [], []
    for i in range(images):
        rand = torch.rand(boxes, 9, generator=generator)
        sides = 8 * (SIDE / 32) ** rand[:, :2]
        corners = rand[:, 2:4] * (SIDE - sides)
        truth = torch.cat([corners, corners + sides], 1)
        labels = torch.randint(1, classes + 1, (boxes, 2), generator=generator)
        crowd = torch.zeros(boxes, dtype=torch.int64)
        truths.append({"boxes": truth, "labels": labels[:, 0], "area": sides.prod(1), "iscrowd": crowd})
        truths[-1]["image_id"] = torch.tensor(i)
        moved = truth + (rand[:, 4:8] - 0.5) * sides.repeat(1, 2) / 2
        taken_for = torch.where(torch.arange(boxes) % 5 == 0, labels[:, 1], labels[:, 0])
        found.append({"boxes": moved, "labels": taken_for, "scores": rand[:, 8]})
    return found, truths


def ours(found: list[Boxes], truths: list[Boxes], per_class: bool) -> Figures:
    return {name: float(value) for name, value in evaluated(CocoPrecision(per_class=per_class), found, truths).items()}


def theirs(found: list[Boxes], truths: list[Boxes], per_class: bool) -> Figures:
    metric = MeanAveragePrecision(backend="pycocotools", class_metrics=per_class)
    result = evaluated(metric, found, truths)
    figures = {name: float(result[name.replace("map50", "map_50").replace("map75", "map_75")]) for name in SUMMARY}
    if per_class:
        of_classes = zip(result["classes"].tolist(), result["map_per_class"].tolist(), strict=True)
        figures |= {f"map_of_{label}": value for label, value in of_classes}
    return figures


def evaluated(metric: MeanAveragePrecision, found: list[Boxes], truths: list[Boxes]) -> dict[str, torch.Tensor]:
    for first in range(0, len(found), BATCH):
        metric.update(found[first : first + BATCH], truths[first : first + BATCH])
    return metric.compute()


def compare(title: str, ways: Mapping[str, Callable[[], Figures]], rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    figures: dict[str, Figures] = {}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = time.process_time()
            figures[name] = way()
            seconds[name].append(time.process_time() - started)
    first, second = figures.values()
    apart = max(abs(first[name] - second[name]) for name in second) if first.keys() == second.keys() else float("inf")
    if apart > TOLERANCE:
        sys.exit(f"{title}: the figures differ by {apart}: {figures}")
    ratios = [b / a for a, b in zip(*(values[1:] for values in seconds.values()), strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"  ratio {statistics.median(ratios):.2f}  CPU seconds, pycocotools / lightloom, n={rounds}, quartiles "
        f"[{low:.2f} .. {high:.2f}]  {title}; {len(first)} figures at most {apart:.0e} apart, map {first['map']:.4f}"
    )
    for name, values in seconds.items():
        print(
            f"        {statistics.median(values[1:]):6.3f} s [{min(values[1:]):.3f} .. {max(values[1:]):.3f}]  {name}"
        )


if __name__ == "__main__":
    main()
