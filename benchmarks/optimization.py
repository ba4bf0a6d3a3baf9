"""Optimizers, batch sizes, regularization and normalization, each measured on one small network.

    python benchmarks/optimization.py optimizers [--picture docs/pictures/optimizers.svg]
    python benchmarks/optimization.py batch_size
    python benchmarks/optimization.py regularization
    python benchmarks/optimization.py norms [--model lenet]

All take `--seeds` and `--steps`. One process, one thread, no files: see small_runs.py. A rate is chosen with seed 0 by
the mean training loss of the last 100 steps, from a grid that grows while its best rate lies at an end; figures are of
the seeds after that, so that no seed is counted which a rate was chosen for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import small_runs
import torch
from curves import drawn
from small_runs import Data, Run, one_run, print_table, spread, table

from lightloom.reporting.charts import Line

LENET = ["model=lenet", "scheduler=constant", "model.label_smoothing=0", "data.batch_size=64"]
MLP = ["model=mlp", "scheduler=constant"]
OPTIMIZERS = {  # configs/optimizer -> where its grid begins
    "sgd": 0.1,
    "momentum": 0.01,
    "nag": 0.01,
    "adagrad": 0.01,
    "rmsprop": 1e-3,
    "adadelta": 1.0,
    "adam": 1e-3,
}
RATE = 0.05  # of batches of 32, for the norms
FACTOR = 10**0.5  # between two rates of a grid
SIZES, LOST = (16, 32, 64, 128, 256), 10.0  # batches, and a loss from which a run has diverged
WINDOW, SHOWN_FROM = 40, 80  # steps of which a point of a curve is the mean, and where curves begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=TABLES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="of a run; each table has its own default")
    parser.add_argument("--model", choices=("mlp", "lenet"), default="mlp", help="of the norms")
    parser.add_argument("--picture", type=Path, help="the curves of the optimizers, as SVG")
    print_table(parser.parse_args(), TABLES)


def optimizers(args: argparse.Namespace) -> None:
    """Of an MLP on Fashion-MNIST, without weight decay, at a constant rate."""
    data, steps = small_runs.load("fashion_mnist"), args.steps or 800
    lines, rows = list[Line](), list[list[str]]()
    print(f"MLP on Fashion-MNIST, {steps} steps of 64 images; the loss of each rate tried, and the table:")
    for name, first in OPTIMIZERS.items():
        options = [*MLP, "data.batch_size=64", f"optimizer={name}", "model.optimizer.weight_decay=0"]
        rate, tried = best_rate(lambda lr, own=options: trial(data, own, lr, steps), first)
        runs = [one_run(data, [*options, f"model.optimizer.lr={rate:.3g}"], steps, seed) for seed in seeds(args)]
        curve = mean_curve(runs)
        points = [(WINDOW * (i + 0.5), loss) for i, loss in enumerate(curve) if WINDOW * i >= SHOWN_FROM]
        lines.append(Line(name, *zip(*points, strict=True), len(lines)))
        rows.append([name, f"{rate:.2g}", good_rates(tried), *scores(runs)])
        print(f"    {name}: {told(tried)}", flush=True)
    head = ["optimizer", "best rate", "rates within 10 %", "training loss", "test loss", "test accuracy"]
    table(head, rows)
    if args.picture:
        args.picture.write_text(drawn("training loss", lines, "step"), encoding="utf-8")


def trial(data: Data, options: Sequence[str], rate: float, steps: int) -> float:
    return one_run(data, [*options, f"model.optimizer.lr={rate:.3g}"], steps, seed=0, evaluated=False).last()


def best_rate(loss: Callable[[float], float], first: float, factor: float = FACTOR) -> tuple[float, dict[float, float]]:
    """The rate of the least loss among first x factor^i, and the losses of those that were tried.

    The grid begins with three rates and grows until its best one has two others on either side, or one that diverges.
    """
    tried = {first * factor**i: loss(first * factor**i) for i in (-1, 0, 1)}
    while True:
        rates = sorted(tried)
        place = rates.index(min(rates, key=tried.__getitem__))
        if place == 0:
            new = rates[0] / factor
        elif place == len(rates) - 1:
            new = rates[-1] * factor
        else:
            return rates[place], dict(sorted(tried.items()))
        tried[new] = loss(new)


def good_rates(tried: dict[float, float]) -> str:
    """From the least to the greatest rate whose loss is at most a tenth above the best one's."""
    good = [rate for rate, loss in tried.items() if loss <= 1.1 * min(tried.values())]
    return f"{min(good):.2g} to {max(good):.2g}"


def told(tried: dict[float, float]) -> str:
    return ", ".join(f"{rate:.2g}: {loss:.3f}" for rate, loss in tried.items())


def seeds(args: argparse.Namespace) -> range:
    return range(1, args.seeds + 1)


def scores(runs: Sequence[Run]) -> list[str]:
    """Training loss of the last 100 steps, test loss and test accuracy."""
    return [spread([run.last() for run in runs]), *(spread([run.test[i] for run in runs]) for i in range(2))]


def mean_curve(runs: Sequence[Run]) -> list[float]:
    """Of the training loss: means over seeds and over WINDOW steps."""
    losses = torch.tensor([run.losses for run in runs]).mean(0)
    return losses[: len(losses) // WINDOW * WINDOW].view(-1, WINDOW).mean(1).tolist()


def batch_size(args: argparse.Namespace) -> None:
    """The best rate of each batch size after the same number of images, and what rates come to that follow a rule.

    Goyal et al. 2017, section 2.1: k times the batch, k times the rate.
    """
    data, images = small_runs.load("fashion_mnist", test_images=2000), (args.steps or 1600) * SIZES[0]
    print(f"MLP on Fashion-MNIST, SGD, {images:,} images in all; the loss of each rate tried, and the table:")

    @cache
    def loss(size: int, rate: float, seed: int) -> float:
        """Of the last eighth of the images."""
        steps = images // size
        options = [*MLP, "optimizer=sgd", f"data.batch_size={size}", f"model.optimizer.lr={rate:.4g}"]
        return one_run(data, options, steps, seed, evaluated=False).last(steps // 8)

    best, rows = dict[int, float](), list[list[str]]()
    for size in SIZES:
        best[size], tried = best_rate(lambda rate, size=size: loss(size, rate, 0), best.get(size // 2, 0.05), factor=2)
        print(f"    {size}: {told(tried)}", flush=True)
        k = size / SIZES[0]
        rates = (best[size], *(best[SIZES[0]] * scale for scale in (k, k**0.5, 1)))
        found = [kept_or_lost([loss(size, rate, seed) for seed in seeds(args)]) for rate in rates]
        rows.append([str(size), str(images // size), f"{best[size]:.3g}", *found])
    head = ["batch", "steps", "best rate", "training loss with it", "the rate of 16, x k", "x √k", "x 1"]
    table(head, rows)


def kept_or_lost(losses: Sequence[float]) -> str:
    return "diverges" if max(losses) > LOST else spread(losses)


def regularization(args: argparse.Namespace) -> None:
    """Of an MLP on 1,000 images: how much better it knows what it has seen."""
    data, steps = small_runs.load("fashion_mnist", train_images=1000), args.steps or 1000
    options = [*MLP, "optimizer=adamw", "model.optimizer.weight_decay=0", "data.batch_size=32"]
    options += ["model.network.hidden=[256,256]"]
    ways = {
        "nothing": [],
        "dropout 0.5 (Srivastava et al. 2014)": ["model.network.dropout=0.5"],
        "DropConnect 0.5 (Wan et al. 2013)": ["model.drop_connect=0.5"],
        "weight decay 0.1 (Loshchilov & Hutter 2019)": ["model.optimizer.weight_decay=0.1"],
        "weight decay 1.0": ["model.optimizer.weight_decay=1.0"],
        "label smoothing 0.1": ["model.label_smoothing=0.1"],
        "batch norm (Ioffe & Szegedy 2015)": ["model.network.norm=batch"],
        "group norm (Wu & He 2018)": ["model.network.norm=group"],
        "batch norm and dropout 0.5": ["model.network.norm=batch", "model.network.dropout=0.5"],
    }
    print(f"MLP 784-256-256-10 on 1,000 images of Fashion-MNIST, AdamW 0.001, {steps} steps of 32 images")
    head = ["regularization", "training accuracy", "test accuracy", "gap", "training loss", "test loss"]
    table(
        head,
        ([name, *gap([one_run(data, [*options, *own], steps, s) for s in seeds(args)])] for name, own in ways.items()),
    )


def gap(runs: Sequence[Run]) -> list[str]:
    accuracies = [spread([run.train[1] for run in runs]), spread([run.test[1] for run in runs])]
    difference = spread([run.train[1] - run.test[1] for run in runs])
    return [*accuracies, difference, spread([run.train[0] for run in runs]), spread([run.test[0] for run in runs])]


def norms(args: argparse.Namespace) -> None:
    """After the same number of images in batches of few; the rate grows with the batch."""
    data, images = small_runs.load("fashion_mnist", test_images=2000), (args.steps or 3000) * 2
    base = LENET if args.model == "lenet" else MLP
    print(f"{args.model}, momentum, rate {RATE} x batch / 32, cosine; {images:,} images in all; test accuracy")
    rows = []
    for size in (2, 4, 8, 32):
        own = [*base, "scheduler=cosine", "optimizer=momentum", f"data.batch_size={size}"]
        own.append(f"model.optimizer.lr={RATE * size / 32:.4g}")
        found = []
        for norm in ("none", "batch", "group"):
            runs = [one_run(data, [*own, f"model.network.norm={norm}"], images // size, s) for s in seeds(args)]
            found.append(spread([run.test[1] for run in runs]))
        rows.append([str(size), *found])
    table(["batch", "no norm", "batch norm", "group norm"], rows)


TABLES = {"optimizers": optimizers, "batch_size": batch_size, "regularization": regularization, "norms": norms}

if __name__ == "__main__":
    main()
