"""A trained translator: BLEU of its test texts by widths of the beam, what that costs, and some to be looked at.

    python src/train.py experiment=multi30k_small trainer=cpu run_name=multi30k
    python benchmarks/translation.py logs/runs/multi30k [--widths 1 4] [--penalty 0.6] [--shown 5]

CPU seconds of one thread. A width of 1 is greedy; of the texts that are shown translations are those of the last width.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, cast

import torch

from lightloom.metrics.bleu import Bleu
from lightloom.predict.loading import load_run
from lightloom.predict.translation.predictor import Predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--widths", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--penalty", type=float, default=0.6)
    parser.add_argument("--shown", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = load_run(args.run)
    predictor, split = Predictor(run.module, {**run.config.data, **run.state}), cast(Any, run.datamodule).split("test")
    weights = sum(p.numel() for p in run.module.parameters())
    print(f"{weights:,} weights, {len(split):,} test texts of {run.config.data.name}")
    print("| beam | BLEU | brevity penalty | precisions, % | CPU s |")
    print("| --- | --- | --- | --- | --- |")
    for width in args.widths:
        start = time.process_time()
        found = predictor.predict(split.sources, width, args.penalty)
        print(row(width, found, split.targets, time.process_time() - start), flush=True)
    for texts in list(zip(split.sources, found, split.targets, strict=True))[: args.shown]:
        print("", *(f"  {text}" for text in texts), sep="\n")


def row(width: int, found: list[str], references: list[str], seconds: float) -> str:
    """What the table says of a width."""
    metric = Bleu()
    metric.update(found, [[text] for text in references])
    score = {name: float(value) for name, value in metric.compute().items()}
    shares = "/".join(f"{score[f'precision_{n}']:.1f}" for n in range(1, 5))
    return f"| {width} | {score['bleu']:.2f} | {score['brevity_penalty']:.3f} | {shares} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
