"""What dropout drawn for each text costs: training steps of the classifiers of texts, beside nn.Dropout.

    python benchmarks/dropout.py [--rounds 20] [--words 24]

A step is forward, backward and AdamW, of 64 texts of so many words and a vocabulary of 19,000, one thread. The two ways
take turns on one network, so that a machine whose speed drifts slows both alike; the ratio is of CPU time, round by
round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from timing import spread

from lightloom.config.compose import compose, without_hydra
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.networks.keyed_dropout import key_dropout, keyed_dropout

MODELS = ("bag", "textcnn", "rnn", "gru", "lstm", "bilstm", "stacked_lstm", "text_transformer", "bert_classifier")
VOCABULARY, TEXTS, STEPS = 19_000, 64, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--words", type=int, default=24)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ids = torch.randint(1, VOCABULARY, (TEXTS, args.words))
    print(f"{TEXTS} texts of {args.words} words, torch {torch.__version__}, 1 thread, n = {args.rounds} rounds\n")
    print("| model | nn.Dropout, CPU ms a step | by keys | by keys / nn.Dropout |\n| --- | --- | --- | --- |")
    for model in MODELS:
        plain_ms, keyed_ms = costs(model, ids, args.rounds)
        ratios = spread([b / a for a, b in zip(plain_ms, keyed_ms, strict=True)], ".3f")
        medians = [f"{statistics.median(times):.1f}" for times in (plain_ms, keyed_ms)]
        print(f"| {model} | {' | '.join(medians)} | {ratios} |", flush=True)


def costs(model: str, ids: torch.Tensor, rounds: int) -> tuple[list[float], list[float]]:
    """CPU ms of a step with nn.Dropout and by keys, of each round but the first."""
    facts = (f"data.vocab_size={VOCABULARY}", "data.num_classes=2", "data.max_length=128")
    cfg = without_hydra(compose("train", [f"model={model}", "data=reviews_toy", *facts]))
    network = key_dropout(build(plain(cfg.model)["network"], "model.network")).train()
    optimizer = torch.optim.AdamW(network.parameters(), foreach=True)
    found: dict[int | None, list[float]] = {None: [], 1: []}
    for _ in range(rounds + 1):
        for key, spent in found.items():
            started = time.process_time()
            for _ in range(STEPS):
                optimizer.zero_grad()
                with keyed_dropout(network, key, ids):
                    network(ids).square().sum().backward()
                optimizer.step()
            spent.append((time.process_time() - started) * 1000 / STEPS)
    return found[None][1:], found[1][1:]


if __name__ == "__main__":
    main()
