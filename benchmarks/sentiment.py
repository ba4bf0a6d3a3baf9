"""Texts: classifiers of rt-polarity beside each other, a task that needs order, and how far gradients reach.

    python benchmarks/sentiment.py table [--data rt_polarity] [--seeds 3] [--begin 0] [--epochs 5] [--models ...]
                                         [--options ...]
    python benchmarks/sentiment.py adding [--lengths 10 50 100] [--steps 2000] [--cells rnn lstm gru]
    python benchmarks/sentiment.py gradients [--seeds 20]

table: test accuracy of each model with equal options (those of its YAML, as many epochs), the mean and the deviation
over seeds, each with its own split; CPU seconds of a training. adding: the adding problem (Hochreiter & Schmidhuber
1997, experiment 4): the mean squared error on new sequences, of which guessing 1 has 0.167. gradients: the norm of the
gradient of the last state with respect to an input, by their distance, of networks as they are drawn.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightloom.config.compose import compose, without_hydra
from lightloom.data import contract
from lightloom.engine import facts, train
from lightloom.networks.recurrent import CELLS, Recurrence

MODELS = ("bag", "textcnn", "rnn", "lstm", "gru", "bilstm", "stacked_lstm", "text_transformer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table")
    table.add_argument("--data", default="rt_polarity")
    table.add_argument("--seeds", type=int, default=3)
    table.add_argument("--epochs", type=int, default=5)
    table.add_argument("--begin", type=int, default=0, help="the first seed")
    table.add_argument("--models", nargs="+", default=MODELS)
    table.add_argument("--options", nargs="+", default=[])
    adding = commands.add_parser("adding")
    adding.add_argument("--lengths", nargs="+", type=int, default=[10, 50, 100])
    adding.add_argument("--steps", type=int, default=2000)
    adding.add_argument("--cells", nargs="+", default=list(CELLS))
    commands.add_parser("gradients").add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    {"table": measure_table, "adding": measure_adding, "gradients": measure_gradients}[args.command](args)


def measure_table(args: argparse.Namespace) -> None:
    """Print each training as it ends, then the table."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    for seed in range(args.begin, args.begin + args.seeds):
        for model in args.models:
            found.setdefault(model, []).append(one := trained(model, args, seed))
            print(f"seed {seed}, {model}: {100 * one[0]:.1f} %, {one[1]:.0f} s", flush=True)
    print(f"\n{' '.join([args.data, *args.options])}, {args.epochs} epochs")
    print("| model | weights | test accuracy | CPU s |\n| --- | --- | --- | --- |")
    for model, rows in found.items():
        accuracies, seconds, weights = zip(*rows, strict=True)
        spread = f" ± {100 * statistics.stdev(accuracies):.1f}" if len(rows) > 1 else ""
        mean = 100 * statistics.mean(accuracies)
        print(f"| {model} | {weights[0]:,} | {mean:.1f}{spread} % | {statistics.mean(seconds):.0f} |")


def trained(model: str, args: argparse.Namespace, seed: int) -> tuple[float, float, int]:
    """Test accuracy after the last epoch, CPU seconds of the training, and the number of weights."""
    cfg = without_hydra(compose("train", [f"model={model}", f"data={args.data}", f"seed={seed}", *args.options]))
    datamodule = train.build_data(cfg)[1]
    cfg.data.update(known := contract.facts(datamodule))
    facts.fill_in(cfg, known)
    pl.seed_everything(seed, verbose=False)
    module = train.build_module(cfg)
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing", "use_distributed_sampler")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=args.epochs,
        limit_val_batches=0,
        **dict.fromkeys(quiet, False),  # type: ignore[arg-type]
    )
    started = time.process_time()
    trainer.fit(module, datamodule=datamodule)
    seconds = time.process_time() - started
    (results,) = trainer.test(module, datamodule=datamodule, verbose=False)
    return results["test/acc"], seconds, sum(p.numel() for p in module.parameters())


# --- a task that needs order


class Adder(nn.Module):
    """Sequences (B, T, 2) to a number (B,), from the last state of 64 units."""

    def __init__(self, cell: str, width: int = 64) -> None:
        super().__init__()
        self.recurrence, self.head = Recurrence(2, width, cell), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        inside = torch.ones(x.shape[:2], dtype=torch.bool)
        return self.head(self.recurrence(x, inside)[1])[:, 0]  # type: ignore[no-any-return]


def added(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences (count, length, 2) of numbers in [0, 1] and marks, 1 at one place of each half; the sums (count,)."""
    numbers, marks = torch.rand(count, length, generator=generator), torch.zeros(count, length)
    for begin, end in ((0, length // 2), (length // 2, length)):
        marks.scatter_(1, torch.randint(begin, end, (count, 1), generator=generator), 1.0)
    return torch.stack([numbers, marks], 2), (numbers * marks).sum(1)


def measure_adding(args: argparse.Namespace) -> None:
    """Print the error of each cell at each length, and CPU milliseconds of a step."""
    print("| length | cell | weights | mean squared error | right within 0.04 | ms a step |\n" + "| --- " * 6 + "|")
    for length in args.lengths:
        for cell in args.cells:
            torch.manual_seed(0)
            model, generator = Adder(cell), torch.Generator().manual_seed(1)
            seconds = fit_adder(model, length, args.steps, generator)
            x, sums = added(2000, length, torch.Generator().manual_seed(2))
            with torch.inference_mode():
                error = model(x) - sums
            right = (error.abs() < 0.04).float().mean()  # as the paper counts
            weights = sum(p.numel() for p in model.parameters())
            said = f"{float((error**2).mean()):.4f} | {100 * float(right):.0f} % | {1000 * seconds / args.steps:.1f}"
            print(f"| {length} | {cell} | {weights:,} | {said} |", flush=True)


def fit_adder(model: nn.Module, length: int, steps: int, generator: torch.Generator) -> float:
    """Adam, clipped gradients, a new batch of 32 for each step; CPU seconds."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    started = time.process_time()
    for _ in range(steps):
        x, sums = added(32, length, generator)
        loss = ((model(x) - sums) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.process_time() - started


# --- how far gradients reach

DISTANCES = (0, 5, 10, 20, 50, 100)


def measure_gradients(args: argparse.Namespace) -> None:
    """Print the median over seeds of the norm at each distance, as a share of that at distance 0."""
    print("| cell | " + " | ".join(map(str, DISTANCES)) + " |\n" + "| --- " * (len(DISTANCES) + 1) + "|")
    for cell in CELLS:
        norms = torch.stack([gradient_norms(cell, seed) for seed in range(args.seeds)]).median(0).values
        print(f"| {cell} | " + " | ".join(f"{float(norms[d] / norms[0]):.1e}" for d in DISTANCES) + " |")


def gradient_norms(cell: str, seed: int, width: int = 64) -> Tensor:
    """Of the last state's sum with respect to each input of noise, the last one first: (T,)."""
    torch.manual_seed(seed)
    length = max(DISTANCES) + 1
    x = torch.randn(1, length, width, requires_grad=True)
    Recurrence(width, width, cell)(x, torch.ones(1, length, dtype=torch.bool))[1].sum().backward()
    assert x.grad is not None
    return x.grad[0].norm(dim=1).flip(0)


if __name__ == "__main__":
    main()
