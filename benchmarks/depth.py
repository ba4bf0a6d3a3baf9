"""What depth does to a network: signals at the start, degradation, gradients, and 1,202 layers.

    python benchmarks/depth.py initialization                      variances by depth beside the formulas
    python src/train.py -m experiment=plain_vs_residual ...         the runs of the next two; their folder is RUNS
    python benchmarks/depth.py degradation RUNS... [--picture docs/pictures/degradation.svg]
    python benchmarks/depth.py gradients RUNS...
    python benchmarks/depth.py deepest [--steps 40]                a ResNet-1202 on eight pictures of 8 x 8 pixels

Means are over seeds, with the standard deviation of one run.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import mean_field
import small_runs
import torch
from curves import drawn
from omegaconf import OmegaConf
from small_runs import print_table, spread, table

from lightloom.core import cells, run_dir
from lightloom.engine import checkpoint, train
from lightloom.reporting.charts import Line

LAYERS = (1, 5, 10, 20, 30)  # of which the variances are printed
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the layers whose gradients are printed, from the input to the output
IMAGES = 256


class Finished(NamedTuple):
    """name: plain or residual, and the depth. epochs: rows of metrics.csv with a training loss."""

    folder: Path
    name: str
    epochs: list[dict[str, str]]
    results: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=TABLES)
    parser.add_argument("runs", nargs="*", type=Path, help="folders with runs in them")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--picture", type=Path, help="the curves of the training error, as SVG")
    print_table(parser.parse_args(), TABLES)


def initialization(args: argparse.Namespace) -> None:
    """Measured / formula, of an MLP of 30 layers of 576 units; the mean of 3 draws of its weights."""
    depth, width = LAYERS[-1], 576
    for direction in ("forward", "backward"):
        what = "outputs" if direction == "forward" else "the gradient, over that of the last layer"
        print(f"\nVariance of {what}, by layer: measured, formula")
        rows = []
        for activation in mean_field.ACTIVATIONS:
            for scheme in mean_field.SCHEMES:
                draws = [mean_field.measured(scheme, activation, depth, width, seed) for seed in range(3)]
                expected = getattr(mean_field.formula(scheme, activation, depth, width), direction)
                found = [fmean(layer) for layer in zip(*(getattr(d, direction) for d in draws), strict=True)]
                pairs = [f"{found[i - 1]:.2g}, {expected[i - 1]:.2g}" for i in LAYERS]
                rows.append([activation, f"model.init={scheme}", *pairs])
        table(["activation", "weights", *(f"layer {i}" for i in LAYERS)], rows)


def degradation(args: argparse.Namespace) -> None:
    """Of He et al. 2016, figure 6: the deeper network's training error is the higher one, unless it is residual."""
    found = by_name(args.runs)
    lines, rows = list[Line](), list[list[str]]()
    for name, runs in found.items():
        errors = [fmean(epoch) for epoch in zip(*(training_errors(run) for run in runs), strict=True)]
        colour = 0 if name.endswith("20") else 1
        epochs = range(1, len(errors) + 1)
        lines.append(Line(name, list(epochs), errors, colour, dashed=name.startswith("plain")))
        last = [float(run.epochs[-1]["train/loss"]) for run in runs]
        error = [training_errors(run)[-1] for run in runs]
        tested = [100 * run.results["test/acc"] for run in runs]
        seconds = fmean(run.results["train_seconds"] for run in runs)
        row = [name, str(len(runs)), spread(last), spread(error, ".1f"), spread(tested, ".1f"), f"{seconds:.0f}"]
        rows.append(row)
    table(["network", "seeds", "training loss", "training error, %", "test accuracy, %", "seconds a run"], rows)
    if args.picture:
        args.picture.write_text(drawn("training error, %", lines, "epoch"), encoding="utf-8")


def training_errors(run: Finished) -> list[float]:
    """In percent, of each epoch."""
    return [100 * (1 - float(row["train/acc"])) for row in run.epochs]


def gradients(args: argparse.Namespace) -> None:
    """The norms of the gradients of a few layers' weights on IMAGES images, before and after training."""
    rows = []
    for name, runs in by_name(args.runs).items():
        for when, norms in zip(("start", "end"), zip(*map(norms_of, runs), strict=True), strict=True):
            places = [round(place * (len(norms[0]) - 1)) for place in PLACES]
            found = [spread([norm[i] for norm in norms], ".2g") for i in places]
            rows.append([name, when, *found, f"{fmean(max(norm) / min(norm) for norm in norms):.2g}"])
    table(["network", "at the", "first layer", "1/4", "middle", "3/4", "last layer", "largest / smallest"], rows)


def norms_of(run: Finished) -> tuple[list[float], list[float]]:
    """Of each layer's weights, from the input to the output: as they are drawn, and as they were last."""
    cfg, trained = checkpoint.restore(run_dir.find_checkpoint(str(run.folder), run.folder, prefer="last"))
    torch.manual_seed(cfg.seed)
    drawn_anew = train.build_module(cfg)
    images, labels = small_runs.load(cfg.data.name, f"data.image_size={cfg.data.image_size}", train_images=IMAGES).train
    both = []
    for module in (drawn_anew, trained):
        module.train()
        module.loss(module(images), labels).backward()
        weights = [p for p in module.network.parameters() if p.ndim > 1]
        both.append([float(torch.linalg.vector_norm(p.grad)) for p in weights])
    return both[0], both[1]


def by_name(folders: Sequence[Path]) -> dict[str, list[Finished]]:
    """The finished runs below the folders, the plain ones first."""
    found = defaultdict[str, list[Finished]](list)
    for path in sorted(path for folder in folders for path in folder.rglob(run_dir.RESULTS)):
        run = read(path.parent)
        found[run.name].append(run)
    return dict(sorted(found.items()))


def read(folder: Path) -> Finished:
    network = OmegaConf.load(folder / run_dir.CONFIG).model.network
    with cells.open_csv(folder / "metrics.csv") as file:
        epochs = [row for row in cells.dicts(file) if row.get("train/loss")]
    name = f"{'residual' if network.shortcut else 'plain'} {network.depth}"
    return Finished(folder, name, epochs, run_dir.read_json(folder / run_dir.RESULTS, {}))


def deepest(args: argparse.Namespace) -> None:
    """A ResNet-1202 takes steps, and its loss falls: eight images, the same at each step, are learned by heart."""
    data = small_runs.load("cifar10_small", "data.image_size=8", train_images=8, test_images=8)
    options = ["model=resnet1202", "data.image_size=8", "data.batch_size=8", "scheduler=constant"]
    before, started = memory(), time.process_time()
    run = small_runs.one_run(
        data, [*options, "optimizer=adam", "model.optimizer.lr=3e-4"], args.steps, seed=0, evaluated=False
    )
    seconds = (time.process_time() - started) / args.steps
    print(f"{args.steps} steps of 8 images of 8 x 8: {seconds:.2f} CPU s a step, {memory() - before:,.0f} MB more")
    fives = [fmean(run.losses[i : i + 5]) for i in range(0, args.steps - 4, 5)]
    print(f"loss of each five steps: {', '.join(f'{loss:.2f}' for loss in fives)}")


def memory() -> float:
    """The most that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


TABLES = {
    "initialization": initialization,
    "degradation": degradation,
    "gradients": gradients,
    "deepest": deepest,
}

if __name__ == "__main__":
    main()
