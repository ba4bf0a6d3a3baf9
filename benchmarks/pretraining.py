"""What pre-training is worth: a small BERT that has filled in hidden words, against the same network from scratch.

    python benchmarks/pretraining.py [--labels 100 1000 0] [--seeds 5] [--epochs 3] [--dim 64]

The BERT reads texts without labels: rt-polarity's, without the tenth that is tested on, and Multi30k's English captions
where they are at hand. Then it, and a fresh one, learn from so many labelled sentences (0: from all) of rt-polarity, in
as many steps and, each, at a rate of its own. Test accuracy on that tenth, the mean and the deviation over seeds, each
with labelled sentences of its own. One thread.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from timing import ROOT
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from lightloom.core.environment import variable
from lightloom.data.text.datamodule import TextDataModule, as_batch
from lightloom.data.text.readers import TextLines
from lightloom.data.tokens import UNKNOWN, Words
from lightloom.data.translation.readers import ParallelLines
from lightloom.modules.masked_language_model import IGNORE, masked
from lightloom.networks.transformer.bert import Bert, BertClassifier, Encoder
from lightloom.ops.rng import mix

LENGTH, BATCH = 40, 32
STEPS = {100: 150, 1000: 300, 0: 800}  # by the number of labels, 0 for all
RATES = {"pre-trained": 1e-3, "from scratch": 2e-3}
Ids = list[Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", nargs="+", type=int, default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--dim", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(variable("LIGHTLOOM_DATA_DIR") or ROOT / "data", "text")
    sentences = reviews(folder)
    train, test = sentences.split("train"), sentences.split("test")
    unlabelled = [*train.texts, *captions(folder)]
    tokens = Words(min_count=3).learn(unlabelled)
    encode = partial(encoded, tokens)
    start = time.process_time()
    torch.manual_seed(0)
    backbone = Encoder(len(tokens), LENGTH, dim=args.dim)
    pretrain(backbone, encode(unlabelled), args.epochs)
    print(f"{len(unlabelled):,} texts, {len(tokens):,} ids; pre-trained in {time.process_time() - start:.0f} CPU s")
    print("| labels | begun | test accuracy, % | each |\n| --- | --- | --- | --- |")
    for count in args.labels:
        for way, rate in RATES.items():
            found = []
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                chosen = torch.randperm(len(train))[: count or len(train)]
                own = copy.deepcopy(backbone) if way == "pre-trained" else Encoder(len(tokens), LENGTH, dim=args.dim)
                some = train.pick(chosen)
                network = BertClassifier(own, 2)
                tune(network, encode(some.texts), some.labels, STEPS.get(count, 300), rate)
                found.append(100 * accuracy(network, encode(test.texts), test.labels))
            spread = f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else ""
            each = " ".join(f"{one:.1f}" for one in found)
            print(f"| {count or len(train):,} | {way} | {statistics.mean(found):.1f}{spread} | {each} |", flush=True)


def reviews(folder: Path) -> TextDataModule:
    """rt-polarity, a tenth of it for the test."""
    files = {"neg": "rt-polarity.neg", "pos": "rt-polarity.pos"}
    sizes = {"max_length": LENGTH, "batch_size": BATCH, "eval_batch_size": BATCH, "folds": 10, "val_fraction": 0.01}
    facts = {"name": "rt_polarity", "kind": "text", "num_classes": 2, "classes": None, "vocab_size": None}
    return TextDataModule(TextLines(folder / "rt-polarity", files), Words(), **facts, **sizes)  # type: ignore[arg-type]


def captions(folder: Path) -> list[str]:
    """Multi30k's in English; none where they are not at hand."""
    root = folder / "multi30k"
    found = ParallelLines(root, "en", "de", {"train": "train"}).read("train") if root.is_dir() else None
    return list(found.sources) if found else []


def encoded(tokens: Words, texts: list[str]) -> Ids:
    return [torch.tensor(tokens.encode(text)[:LENGTH] or [UNKNOWN]) for text in texts]


def pretrain(backbone: Encoder, texts: Ids, epochs: int) -> None:
    """Fill in hidden words; prints the loss of each epoch beside the entropy of words by their frequencies."""
    network, size = Bert(backbone), backbone.embedding.num_embeddings - 1
    counts = Counter(i for ids in texts for i in ids.tolist() if i > UNKNOWN)
    total = sum(counts.values())
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    steps = epochs * (len(texts) // (2 * BATCH))
    optimizer, schedule = adam(network, 2e-3, steps)
    for epoch in range(epochs):
        losses = []
        for places in torch.randperm(len(texts)).split(2 * BATCH)[: len(texts) // (2 * BATCH)]:
            seen, targets = masked(as_batch([texts[i] for i in places]), size, mix(0, epoch))
            asked = targets != IGNORE
            vectors = network.transform(backbone(seen)[:, 1:][asked])  # the head where it is asked for only
            logits = vectors @ backbone.embedding.weight[:-1].T + network.bias
            losses.append(step(cross_entropy(logits, targets[asked]), network, optimizer, schedule))
        print(f"epoch {epoch + 1}: {statistics.mean(losses):.3f} nats per word, {entropy:.3f} by frequency", flush=True)


def tune(network: nn.Module, texts: Ids, labels: Tensor, steps: int, rate: float) -> None:
    """So many steps of batches that are drawn anew whenever all texts were seen."""
    optimizer, schedule = adam(network, rate, steps)
    order: list[int] = []
    for _ in range(steps):
        while len(order) < BATCH:
            order += torch.randperm(len(texts)).tolist()
        chosen, order = order[:BATCH], order[BATCH:]
        step(cross_entropy(network(as_batch([texts[i] for i in chosen])), labels[chosen]), network, optimizer, schedule)


def adam(network: nn.Module, rate: float, steps: int) -> tuple[AdamW, OneCycleLR]:
    optimizer = AdamW(network.parameters(), rate, weight_decay=0.01)
    return optimizer, OneCycleLR(optimizer, rate, steps, pct_start=0.1, cycle_momentum=False)


def step(loss: Tensor, network: nn.Module, optimizer: AdamW, schedule: OneCycleLR) -> float:
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    return float(loss.detach())


@torch.inference_mode()
def accuracy(network: nn.Module, texts: Ids, labels: Tensor) -> float:
    network.eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    right = 0
    for first in range(0, len(order), 128):
        chosen = order[first : first + 128]
        right += int((network(as_batch([texts[i] for i in chosen])).argmax(1) == labels[chosen]).sum())
    network.train()
    return right / len(texts)


if __name__ == "__main__":
    main()
