"""What the benchmarks of small networks share: many runs of train.py's configurations in one process, and a table.

A run is that of `python src/train.py` with the same options without its files: the same data, network, initialisation,
loss, optimizer and schedule, but batches are drawn from tensors in memory, without augmentation.
"""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightloom.config import compose
from lightloom.engine import facts, train
from lightloom.modules.classifier import Classifier
from lightloom.optim.param_groups import build_optimizer

Pairs = tuple[Tensor, Tensor]  # images (N, C, H, W) in [0, 1], labels (N,)


class Data(NamedTuple):
    """name: of the configuration. module: the datamodule, for its facts."""

    name: str
    module: Any
    train: Pairs
    test: Pairs


class Run(NamedTuple):
    """losses: of each step, in nats; infinite once one is not finite. train, test: (loss, accuracy) at the end."""

    losses: list[float]
    train: tuple[float, float]
    test: tuple[float, float]

    def last(self, steps: int = 100) -> float:
        """The mean training loss of the last steps."""
        return math.inf if math.isinf(self.losses[-1]) else fmean(self.losses[-steps:])


MEASURED = 10_000  # training images, at the most, on which a run is measured


def load(name: str, *options: str, train_images: int | None = None, test_images: int | None = None) -> Data:
    """The first images of a set's training and test parts; all by default."""
    cfg = compose.without_hydra(compose.compose("train", ["model=mlp", f"data={name}", *options]))
    datamodule = train.build_data(cfg)[1]
    parts = [_pairs(datamodule, part, most) for part, most in (("train", train_images), ("test", test_images))]
    return Data(name, datamodule, parts[0], parts[1])


def _pairs(datamodule: Any, name: str, most: int | None) -> Pairs:
    batches, found = datamodule.eval_loader(name), list[Pairs]()
    for batch in batches:
        found.append(datamodule.on_after_batch_transfer(batch, 0))
        if most and sum(len(labels) for _, labels in found) >= most:
            break
    images, labels = (torch.cat(part)[:most] for part in zip(*found, strict=True))
    return images, labels


def build(data: Data, options: Sequence[str], seed: int) -> tuple[Any, Classifier]:
    """The configuration and its network, with the weights of a seed."""
    whole = map(compose.expand_shorthand, [f"data={data.name}", *options, f"seed={seed}"])
    cfg = compose.without_hydra(compose.compose("train", list(whole)))
    cfg.data.image_size = data.module.image_size
    facts.fill_in(cfg, data.module.facts())
    torch.manual_seed(seed)
    return cfg, train.build_module(cfg)


def one_run(data: Data, options: Sequence[str], steps: int, seed: int, evaluated: bool = True) -> Run:
    """So many steps with batches of `data.batch_size`, each epoch in a new order."""
    cfg, module = build(data, options, seed)
    optimizer = build_optimizer(module.optimizer, module, module.optimizer_groups)
    schedule = module.scheduler(optimizer, total_steps=steps) if module.scheduler else {"interval": "epoch"}
    images, labels = data.train
    losses = list[float]()
    module.train()
    for index in batches(len(labels), cfg.data.batch_size, steps, seed):
        optimizer.zero_grad()
        loss = module.loss(module(images[index]), labels[index])
        loss.backward()
        optimizer.step()
        if schedule["interval"] == "step":
            schedule["scheduler"].step()
        if not torch.isfinite(loss):
            losses += [math.inf] * (steps - len(losses))
            break
        losses.append(float(loss.detach()))
    nothing = (math.nan, math.nan)
    scores = [measure(module, *pairs) if evaluated else nothing for pairs in (data.train, data.test)]
    return Run(losses, scores[0], scores[1])


def batches(count: int, size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Indices of so many whole batches."""
    generator, done = torch.Generator().manual_seed(seed), 0
    while done < steps:
        for index in torch.randperm(count, generator=generator).split(size)[: min(count // size, steps - done)]:
            done += 1
            yield index


@torch.no_grad()
def measure(module: Classifier, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy in nats, and the share that is right; in evaluation, of the first MEASURED images."""
    module.eval()
    labels = labels[:MEASURED]
    logits = torch.cat([module(part) for part in images[:MEASURED].split(512)])
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return float(loss), float((logits.argmax(1) == labels).float().mean())


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """The mean, with the standard deviation of one value where there are several."""
    deviation = f" ± {stdev(values):{form}}" if len(values) > 1 else ""
    return f"{fmean(values):{form}}{deviation}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print Markdown, row by row as they come."""
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def print_table(args: Namespace, tables: Mapping[str, Callable[[Namespace], None]]) -> None:
    """The table that `args.what` names, on one thread, and the CPU time that it took."""
    torch.set_num_threads(1)
    started = time.process_time()
    tables[args.what](args)
    print(f"\n{time.process_time() - started:.0f} CPU s, torch {torch.__version__}, 1 thread")
