"""Classes of nodes: networks, depths and normalizations on one graph, by the protocol of Kipf & Welling 2017.

    python benchmarks/graphs.py networks [--seeds 50]     GCN, ChebNet and SGC
    python benchmarks/graphs.py depth [--seeds 10]        GCN and SGC of 1 to 16 layers, or hops
    python benchmarks/graphs.py propagation [--seeds 20]  each normalization, with and without loops
    python benchmarks/graphs.py cost                      seconds of a step at 1, 2, 4, 8 times the edges

All take `--data` (cora). A run is that of `experiment=gcn_cora` without its files: Adam, at most 200 epochs, the stop
of WindowStopping, the weights at the stop; means are given with the standard deviation of a run. Cosine: the mean
over pairs of test nodes of different classes of the cosine between their last hidden states.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from lightloom.config import compose
from lightloom.data.graphs.graph import undirected
from lightloom.engine import facts, train
from lightloom.networks.graphs.gcn import GCN
from lightloom.optim.param_groups import build_optimizer

WINDOW = 10
SGC = ["model=sgc", "trainer.max_epochs=100", "callbacks.window_stopping=null"]  # as its authors train it
DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16)


class Result(NamedTuple):
    """Accuracies in percent. cosine: see above."""

    test: float
    best: float
    epochs: int
    cosine: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=TABLES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data", default="cora")
    args = parser.parse_args()
    torch.set_num_threads(1)
    TABLES[args.what](args)


def networks(args: argparse.Namespace) -> None:
    rows = {"GCN": ["model=gcn"], "ChebNet, degree 2": ["model=chebnet"], "SGC, 2 hops": SGC}
    show(args, {**rows, "ChebNet, degree 3": ["model=chebnet", "model.network.order=3"]})


def depth(args: argparse.Namespace) -> None:
    rows = {f"GCN, depth {n}": [f"model.network.depth={n}"] for n in DEPTHS}
    hops = {f"SGC, {n} hops": [*SGC, f"model.network.hops={n}"] for n in DEPTHS}
    show(args, {**rows, **hops})


def propagation(args: argparse.Namespace) -> None:
    show(
        args,
        {
            f"{normalization}, {'with' if loops else 'without'} loops": [
                f"model.network.normalization={normalization}",
                f"model.network.self_loops={str(loops).lower()}",
            ]
            for normalization in ("symmetric", "random_walk", "none")
            for loops in (True, False)
        },
    )


def show(args: argparse.Namespace, rows: dict[str, Sequence[str]]) -> None:
    data = None
    print(f"{'':28} {'test acc':>13} {'at best val acc':>15} {'epochs':>7} {'cosine':>7} {'CPU s a run':>12}")
    for name, options in rows.items():
        whole = ["experiment=gcn_cora", f"data={args.data}", *options]
        cfg = compose.without_hydra(compose.compose("train", whole))
        data = data or train.build_data(cfg)[1]
        facts.fill_in(cfg, data.facts())
        started = time.process_time()
        found = [one_run(cfg, data, seed) for seed in range(args.seeds)]
        seconds = (time.process_time() - started) / args.seeds
        test, best = (spread([run[i] for run in found]) for i in range(2))
        epochs, cosine = fmean(run.epochs for run in found), fmean(run.cosine for run in found)
        print(f"{name:28} {test:>13} {best:>15} {epochs:7.0f} {cosine:7.2f} {seconds:12.1f}", flush=True)


def one_run(cfg: Any, data: Any, seed: int) -> Result:
    torch.manual_seed(seed)
    module = train.build_module(cfg)
    optimizer = build_optimizer(module.optimizer, module, module.optimizer_groups)
    stops = cfg.callbacks.window_stopping is not None
    features, adjacency, *known = data.split("train")[0]
    parts = [data.split(name)[0][2:] for name in ("val", "test")]
    losses, best = list[float](), (-1.0, 0.0)
    for _ in range(cfg.trainer.max_epochs):
        module.train()
        optimizer.zero_grad()
        cross_entropy(module(features, adjacency)[known[0]], known[1]).backward()
        optimizer.step()
        module.eval()
        with torch.no_grad():
            logits = module(features, adjacency)
        loss = float(cross_entropy(logits[parts[0][0]], parts[0][1]))
        val, test = (accuracy(logits, *part) for part in parts)
        best = max(best, (val, test), key=lambda pair: pair[0])
        losses.append(loss)
        if stops and len(losses) > WINDOW and loss > fmean(losses[-WINDOW - 1 : -1]):
            break
    with torch.no_grad():
        states = module.states(features, adjacency)
    return Result(test, best[1], len(losses), alike(states[-2 if len(states) > 1 else -1], *parts[1]))


def accuracy(logits: Tensor, index: Tensor, labels: Tensor) -> float:
    return 100 * float((logits[index].argmax(1) == labels).float().mean())


def alike(states: Tensor, index: Tensor, labels: Tensor) -> float:
    unit = normalize(states[index])
    return float((unit @ unit.T)[labels[:, None] != labels].mean())


def spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f} ± {stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def cost(args: argparse.Namespace) -> None:
    """Of a step forward and back, the fastest of 20, on graphs of 20,000 nodes; features of 64 words."""
    print(f"{'edges':>10} {'ms':>8} {'ns an edge beyond the first':>28}")
    first = None
    for factor in (1, 2, 4, 8):
        graph = drawn(20_000, 100_000 * factor)
        network = GCN(64, 4)
        seconds = min(timed(network, *graph) for _ in range(20))
        edges = graph[1].values().numel() // 2
        first = first or (edges, seconds)
        each = f"{1e9 * (seconds - first[1]) / (edges - first[0]):.1f}" if edges > first[0] else ""
        print(f"{edges:10,} {1e3 * seconds:8.1f} {each:>28}", flush=True)


def drawn(nodes: int, edges: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(0, nodes, (2, edges), generator=generator)
    return torch.rand(nodes, 64, generator=generator), undirected(pairs, nodes)[0]


def timed(network: GCN, features: Tensor, adjacency: Tensor) -> float:
    started = time.perf_counter()
    network(features, adjacency).square().sum().backward()
    return time.perf_counter() - started


TABLES = {"networks": networks, "depth": depth, "propagation": propagation, "cost": cost}

if __name__ == "__main__":
    main()
