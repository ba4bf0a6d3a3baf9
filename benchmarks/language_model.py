"""A small GPT: what training costs beside a bare loop and beside nanoGPT's, and what a cache saves while it writes.

    python benchmarks/language_model.py train [--epochs 4] [--steps 60]
    python benchmarks/language_model.py write [--tokens 256] [--rounds 3]

train: `python src/train.py experiment=nanogpt_cpu` itself, with all that it does by default but the texts after each
epoch, against loops that take turns with it epoch by epoch on the same data and a copy of the network, in one process
with one thread. The bare loop computes the same and nothing else. nanoGPT's loop (Karpathy 2022, train.py, in our
words) draws the start of each window anew, sets the rate of each step itself, logs each step's loss, and measures its
losses on 10 random batches of either part, as many windows as ours takes of the validation text. Without Tiny
Shakespeare in $LIGHTLOOM_DATA_DIR the tales take its place, which cost the same.

write: texts of a network that knows nothing yet, by `LanguageModel.write` with a cache of keys and values and without.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from throughput import Duel
from timing import ROOT, in_own_process, report, spread
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from lightloom.core.environment import variable
from lightloom.modules.language_model import LanguageModel
from lightloom.modules.optimization import total_steps
from lightloom.modules.writing import TOGETHER
from lightloom.networks.transformer.gpt import GPT
from lightloom.optim.param_groups import build_optimizer

PLAIN = [
    "trainer=cpu",
    "test=false",
    "trainer.limit_val_batches=4",
    "data.eval_batch_size=60",
    "~callbacks.continuations",
]
EVALUATED = 20  # batches, half of either part: as many windows as ours evaluates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("--epochs", type=int, default=4, help="of each, the first not counted")
    train.add_argument("--steps", type=int, default=60, help="of an epoch")
    write = commands.add_parser("write")
    write.add_argument("--tokens", type=int, default=256)
    write.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.command == "train":
        compare(args.epochs, args.steps)
    else:
        with_and_without(args.tokens, args.rounds)


# --- training


def compare(epochs: int, steps: int) -> None:
    folder = Path(variable("LIGHTLOOM_DATA_DIR") or ROOT / "data")
    here = (folder / "text/tinyshakespeare").is_dir()
    with tempfile.TemporaryDirectory() as scratch:
        options = ["experiment=nanogpt_cpu", f"trainer.max_epochs={epochs}", f"trainer.limit_train_batches={steps}"]
        options += [f"paths.data_dir={folder}", f"paths.log_dir={scratch}/logs", *PLAIN]
        options += [] if here else ["data=tales", "data.block_size=64"]
        duel = f"+callbacks.duel={{_target_: language_model.Contest, path: {scratch}/duel.json}}"
        in_own_process([str(ROOT / "src/train.py"), *options, duel])
        result = json.loads(Path(scratch, "duel.json").read_text())
    versions = f"torch {torch.__version__}, lightning {pl.__version__}"
    print(f"GPT 4x4x128 on {'tinyshakespeare' if here else 'tales'}, windows of 64 tokens, {versions}, 1 thread")
    report(result["images"], {"train.py": result["ours"], "bare loop": result["bare"], **result["peers"]})


class BareLoop:
    """The loop that one would write by hand for speed, for a copy of the module's network."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        self.network = copy.deepcopy(module.network)
        self.ids, self.val = datamodule.split("train").ids, datamodule.split("val").ids
        self.size, self.block, self.steps = datamodule.batch_size, datamodule.block_size, trainer.num_training_batches
        self.evaluated = trainer.num_val_batches[0] * datamodule.eval_batch_size
        self.prepare(module, trainer)

    def prepare(self, module: Any, trainer: pl.Trainer) -> None:
        self.optimizer = build_optimizer(module.optimizer, self.network, module.optimizer_groups)
        self.scheduler = module.scheduler(self.optimizer, total_steps=total_steps(trainer))["scheduler"]

    def epoch(self) -> None:
        places = torch.arange(self.block + 1)
        order = torch.randperm((len(self.ids) - self.block) // self.block)[: self.steps * self.size] * self.block
        total = torch.zeros(())
        self.network.train()
        for starts in order.split(self.size):
            windows = self.ids[starts[:, None] + places]
            loss = self.loss(windows)
            self.optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.scheduler.step()
            total += loss.detach()
        float(total)
        self.network.eval()
        with torch.no_grad():
            starts = torch.arange(self.evaluated) * self.block
            sum(float(self.loss(self.val[part[:, None] + places])) for part in starts.split(60))

    def loss(self, windows: Tensor) -> Tensor:
        logits = self.network(windows[:, :-1])
        return cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


class TheirLoop(BareLoop):
    """nanoGPT's loop."""

    def prepare(self, module: Any, trainer: pl.Trainer) -> None:
        matrices = [p for p in self.network.parameters() if p.ndim >= 2]
        others = [p for p in self.network.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
        self.taken, self.total = 0, total_steps(trainer)

    def epoch(self) -> None:
        self.network.train()
        for _ in range(self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate()
            loss = self.loss(self.drawn(self.ids))
            loss.backward()
            clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            loss.item()
            self.taken += 1
        self.network.eval()
        with torch.no_grad():
            for part in (self.ids, self.val):
                sum(self.loss(self.drawn(part)).item() for _ in range(EVALUATED // 2))

    def rate(self) -> float:
        progress = self.taken / max(self.total, 1)
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * progress)) * 9e-4

    def drawn(self, ids: Tensor) -> Tensor:
        starts = torch.randint(len(ids) - self.block, (self.size,))
        return torch.stack([ids[start : start + self.block + 1] for start in starts])


class Contest(Duel):
    bare_loop = BareLoop
    peers = {"nanoGPT's loop": TheirLoop}  # noqa: RUF012


# --- writing


def with_and_without(tokens: int, rounds: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    adam = partial(torch.optim.AdamW, lr=1e-3)
    module = LanguageModel(GPT(67, tokens), adam).eval()
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for cached in rates:
            started = time.process_time()
            draws = torch.rand(TOGETHER, tokens - 1)
            written = list(module.write(torch.full((TOGETHER, 1), 2), draws, reserved=2, cached=cached))
            rates[cached].append(len(written) * TOGETHER / (time.process_time() - started))
    print(f"GPT 4x4x128, {TOGETHER} texts of {tokens} tokens, torch {torch.__version__}, 1 thread; tokens per CPU s")
    for cached, found in rates.items():
        print(f"  {spread(found, ',.0f')}  {'with' if cached else 'without'} a cache, n={rounds}")
    print(f"  ratio {spread([a / b for a, b in zip(*rates.values(), strict=True)], '.1f')}")


if __name__ == "__main__":
    main()
