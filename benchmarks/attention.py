"""Where to put SE, CBAM or ECA: the sweep's accuracies, with what each place costs.

    python src/sweep.py sweep=attention
    python benchmarks/attention.py logs/sweeps/attention

Accuracy: of the test images, mean ± standard deviation over the seeds, and the difference from no attention, seed by
seed. Latency: the networks take turns in this process, one thread, in evaluation; median and quartiles over the rounds,
of the time and of its ratio to no attention in the same round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from timing import spread

from lightloom.networks.attention import add_attention

WARM_UP = 5  # rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="the sweep's folder")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    trials = {place(path): path for path in sorted((args.sweep / "trials").iterdir())}
    networks = {name: network(path) for name, path in trials.items()}
    times = latencies(networks, args.batch, args.rounds)
    first = next(iter(networks))
    accuracies = {name: accuracy(path) for name, path in trials.items()}
    print(f"latency: {args.batch} images, 1 thread, n = {args.rounds} rounds in turn; ratio: to no attention\n")
    print("| attention | stages | test accuracy | n | difference | parameters | ms | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in networks:
        found = accuracies[name]
        differences = [found[seed] - accuracies[first][seed] for seed in found]
        ratios = [a / b for a, b in zip(times[name], times[first], strict=True)]
        cells = [*name, mean(list(found.values()), ".3f"), str(len(found)), mean(differences, "+.3f")]
        cells += [f"{count(networks[name]):,}", spread(times[name], ".1f"), spread(ratios, ".2f")]
        print("| " + " | ".join(cells) + " |")


def place(trial: Path) -> tuple[str, str]:
    """(kind, stages) of a trial."""
    model = config_of(trial).model
    if model.attention == "none":
        return "none", ""
    return model.attention, ", ".join(map(str, model.attention_stages or ["all"]))


def config_of(trial: Path) -> Any:
    return OmegaConf.load(next(iter(sorted(trial.glob("seed-*")))) / "config.yaml")


def network(trial: Path) -> torch.nn.Module:
    """The trial's network, untrained: its weights do not change what it costs."""
    cfg = config_of(trial)
    made = instantiate(cfg.model.network)
    return add_attention(made, cfg.model.attention, cfg.model.attention_at, cfg.model.attention_stages).eval()


def count(made: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in made.parameters())


def accuracy(trial: Path) -> dict[str, float]:
    """Of each seed."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(trial.glob("seed-*/results.json"))}
    return {seed: results["test/acc"] for seed, results in found.items()}


@torch.inference_mode()
def latencies(networks: dict[Any, torch.nn.Module], batch: int, rounds: int) -> dict[Any, list[float]]:
    """Milliseconds of CPU time of each network in each round; the networks change places from round to round."""
    times: dict[Any, list[float]] = {name: [] for name in networks}
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    made = {name: net.to(memory_format=torch.channels_last) for name, net in networks.items()}
    for index in range(rounds + WARM_UP):
        names = list(made)
        for name in names[index % len(names) :] + names[: index % len(names)]:
            started = time.process_time()
            made[name](images)
            if index >= WARM_UP:
                times[name].append(1000 * (time.process_time() - started))
    return times


def mean(values: list[float], form: str) -> str:
    if len(values) < 2:
        return f"{values[0]:{form}}"
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
