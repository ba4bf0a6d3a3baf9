"""`python src/train.py` against a bare loop over tensors: training images per second of CPU time, and of wall time.

    python benchmarks/throughput.py [--model mlp lenet resnet18] [--epochs 20]

Ours is the command itself, with all that it does by default: console, CSV and TensorBoard logs, training metrics, keyed
randomness, checkpoints after each epoch. The bare loop computes the same: data in memory, network, fused optimizer,
learning-rate schedule, batches, each epoch's training loss and accuracy, validation; nothing else. Neither augments.
They take turns epoch by epoch in one process with one thread, so that a machine whose speed drifts slows both alike; an
epoch of ours counts from its start to the next one's, the first left out. Fashion-MNIST comes from $LIGHTLAB_DATA_DIR;
where it is not there, random images of its shape cost the same. resnet18 sees a few batches of colour images an epoch.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightlab.modules.optimizing import build_optimizer
from lightlab.schedules import total_steps

ROOT = Path(__file__).parents[1]
DATA = {"mlp": "fashion_mnist", "lenet": "fashion_mnist", "resnet18": "cifar10_small"}
SMALLER = {"resnet18": ["data.batch_size=32", "trainer.limit_train_batches=16", "trainer.limit_val_batches=1"]}
PLAIN = ["data.batch_size=128", "data.augment.crop_padding=0", "data.augment.flip=false", "trainer=cpu", "test=false"]
Cost = tuple[float, float]  # seconds of CPU time of the whole process, seconds of wall time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=DATA, default=["mlp", "lenet"])
    parser.add_argument("--epochs", type=int, default=20, help="of each, the first not counted")
    args = parser.parse_args()
    for model in args.model:
        with tempfile.TemporaryDirectory() as scratch:
            compare(model, args.epochs, Path(scratch))


def compare(model: str, epochs: int, scratch: Path) -> None:
    data_dir, source = find_data(DATA[model], scratch)
    options = [f"model={model}", f"data={DATA[model]}", f"trainer.max_epochs={epochs}", f"paths.data_dir={data_dir}"]
    options += [f"paths.log_dir={scratch}/logs", *PLAIN, *SMALLER.get(model, [])]
    duel = "+callbacks.duel={_target_: throughput.Duel, path: " + str(scratch / "duel.json") + "}"
    in_own_process([str(ROOT / "src/train.py"), *options, duel])
    result = json.loads((scratch / "duel.json").read_text())
    print(f"{model} on {source}, torch {torch.__version__}, lightning {pl.__version__}, 1 thread, {epochs} epochs each")
    report(result["images"], {"train.py": result["ours"], "bare loop": result["bare"]})


def in_own_process(command: list[str]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'benchmarks'}"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def find_data(name: str, scratch: Path) -> tuple[Path, str]:
    """The folder that has the data set, and what to call it; random images of its layout where it is missing."""
    folder = Path(os.environ.get("LIGHTLAB_DATA_DIR", ROOT / "data"))
    if (folder / name).is_dir():
        return folder, name
    if name == "fashion_mnist":
        write_idx(scratch / name, sizes={"train": 60_000, "t10k": 10_000})
    else:
        write_pngs(scratch / name, classes=10, images=80)
    return scratch, f"random images like {name}"


def write_idx(folder: Path, sizes: dict[str, int]) -> None:
    folder.mkdir()
    for part, n in sizes.items():
        for kind, high, shape in (("images-idx3", 256, (n, 28, 28)), ("labels-idx1", 10, (n,))):
            head = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4) for size in shape)
            values = torch.randint(high, shape, dtype=torch.uint8).numpy().tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + values)


def write_pngs(folder: Path, classes: int, images: int) -> None:
    from torchvision.io import write_png

    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for i in range(images):
            write_png(torch.randint(256, (3, 32, 32), dtype=torch.uint8), str(folder / f"class{label}/{i}.png"))


class BareLoop:
    """The loop that one would write by hand for speed, for a copy of the module's network."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        self.network = copy.deepcopy(module.network)
        self.optimizer = build_optimizer(module.optimizer, self.network)
        self.scheduler = module.scheduler(self.optimizer, total_steps=total_steps(trainer))["scheduler"]
        self.train, val = datamodule.split("train"), datamodule.split("val")
        self.size, self.steps, self.smoothing = (
            datamodule.batch_size,
            trainer.num_training_batches,
            module.label_smoothing,
        )
        parts = zip(*(x.split(datamodule.eval_batch_size) for x in (val.images, val.labels)), strict=True)
        self.val = list(parts)[: trainer.num_val_batches[0]] if trainer.num_val_batches else list(parts)
        self.scale, self.shift = 1 / (255 * module.std), module.mean / module.std

    def epoch(self) -> None:
        network, optimizer, size = self.network.train(), self.optimizer, self.size
        sums = torch.zeros(2)
        for indices in torch.randperm(len(self.train))[: self.steps * size].split(size):
            images, labels = self.train.images.index_select(0, indices), self.train.labels.index_select(0, indices)
            logits = network(self.normalise(images))
            loss = cross_entropy(logits, labels, label_smoothing=self.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.scheduler.step()
            sums[0] += loss.detach() * size
            sums[1] += (logits.argmax(1) == labels).sum()
        evaluate(network.eval(), self.normalise, self.val)

    def normalise(self, images: Tensor) -> Tensor:
        return images.float().mul_(self.scale).sub_(self.shift)


class Duel(pl.Callback):
    """Before each epoch of the run, one of the bare loop on the same data; writes down what both cost."""

    bare_loop: type[Any] = BareLoop

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.ours: list[Cost] = []
        self.bare: list[Cost] = []
        self.started: Cost | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.started is None:
            self.loop = self.bare_loop(module, trainer.datamodule, trainer)
        else:
            self.ours.append(since(self.started))
        started = now()
        self.loop.epoch()
        self.bare.append(since(started))
        self.started = now()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert self.started is not None
        self.ours.append(since(self.started))
        images = trainer.num_training_batches * trainer.datamodule.batch_size
        self.path.write_text(json.dumps({"images": images, "ours": self.ours[1:], "bare": self.bare[1:]}))


@torch.no_grad()
def evaluate(network: nn.Module, normalise: Any, batches: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    loss = correct = 0.0
    for images, labels in batches:
        logits = network(normalise(images))
        loss += cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    return float(loss), float(correct)


def now() -> Cost:
    return time.process_time(), time.perf_counter()


def since(start: Cost) -> Cost:
    cpu, wall = now()
    return cpu - start[0], wall - start[1]


def report(images: int, seconds: dict[str, list[Cost]]) -> None:
    """The ratio of the first way's rate to the second's, epoch by epoch; then each rate. seconds: those of an epoch."""
    ours, theirs = seconds
    for column, unit in enumerate(("CPU s", "s")):
        rates = {name: [images / epoch[column] for epoch in epochs] for name, epochs in seconds.items()}
        pairs = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
        low, _, high = statistics.quantiles(pairs, n=4)
        print(
            f"  ratio {statistics.median(pairs):.3f}  images per {unit}, {ours} / {theirs}, n={len(pairs)} pairs of "
            f"epochs, quartiles [{low:.3f} .. {high:.3f}]"
        )
        for name, values in rates.items():
            digits = 0 if min(values) >= 100 else 2
            spread = f"[{min(values):,.{digits}f} .. {max(values):,.{digits}f}]"
            print(f"        {statistics.median(values):10,.{digits}f} per {unit:5} {spread}  {name}", flush=True)


if __name__ == "__main__":
    main()
