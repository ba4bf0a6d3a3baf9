"""`python src/train.py` against a bare loop over tensors: training images per second of CPU time, and of wall time.

    python benchmarks/throughput.py [--model mlp lenet resnet18] [--rounds 5] [--epochs 8]

Ours is the command itself, with all that it does by default: console, CSV and TensorBoard logs, training metrics, keyed
randomness, checkpoints after each epoch. The bare loop has the same data in memory, network, fused optimizer, batches
and validation, and nothing else. Neither augments. Each runs in its own process with one thread; they take turns, and
an epoch counts from its start to the next one's, the first left out. Fashion-MNIST comes from $LIGHTLAB_DATA_DIR;
where it is not there, random images of its shape cost the same. resnet18 sees a few batches of colour images an epoch.
"""

from __future__ import annotations

import argparse
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

ROOT = Path(__file__).parents[1]
DATA = {"mlp": "fashion_mnist", "lenet": "fashion_mnist", "resnet18": "cifar10_small"}
SMALLER = {"resnet18": ["data.batch_size=32", "trainer.limit_train_batches=16", "trainer.limit_val_batches=1"]}
PLAIN = ["data.augment.crop_padding=0", "data.augment.flip=false", "trainer=cpu", "test=false"]
Epoch = tuple[float, float]  # seconds of CPU time of the whole process, seconds of wall time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=DATA, default=["mlp", "lenet"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8, help="per process, the first not counted")
    parser.add_argument("--contestant", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contestant is not None:
        print(json.dumps(bare_loop(args.contestant)))
        return
    for model in args.model:
        with tempfile.TemporaryDirectory() as scratch:
            compare(model, args.rounds, args.epochs, Path(scratch))


def compare(model: str, rounds: int, epochs: int, scratch: Path) -> None:
    data_dir, source = find_data(DATA[model], scratch)
    options = [f"model={model}", f"data={DATA[model]}", f"trainer.max_epochs={epochs}", f"paths.data_dir={data_dir}"]
    options += [f"paths.log_dir={scratch}/logs", *PLAIN, *SMALLER.get(model, [])]
    clock = "+callbacks.clock={_target_: throughput.Clock, path: " + str(scratch / "ours.json") + "}"
    commands = {
        "train.py": [str(ROOT / "src/train.py"), *options, clock],
        "bare loop": [__file__, "--contestant", *options],
    }
    measured: dict[str, list[Epoch]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            output = in_own_process(command)
            result = (scratch / "ours.json").read_text() if name == "train.py" else output.splitlines()[-1]
            measured[name].append(rates(json.loads(result)))
    versions = f"torch {torch.__version__}, lightning {pl.__version__}"
    print(f"{model} on {source}, {versions}, 1 thread, {epochs - 1} epochs a process")
    report(measured)


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


class Clock(pl.Callback):
    """Writes down when each epoch starts, and the last one's end: what a whole run costs, everything included."""

    def __init__(self, path: str) -> None:
        self.path, self.marks = Path(path), []

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.marks.append(now())

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        images = trainer.num_training_batches * trainer.datamodule.batch_size
        self.path.write_text(json.dumps({"images": images, "marks": [*self.marks, now()]}))


def bare_loop(options: list[str]) -> dict[str, Any]:
    """The loop that one would write by hand for speed, on what the configuration describes."""
    from lightlab import config
    from lightlab.build import build
    from lightlab.modules.optimizing import build_optimizer

    # Importing Lightning sets this, and then each step without a GPU looks for a library; a bare loop would not.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"

    cfg = config.without_hydra(config.compose("train", options))
    datamodule = build(cfg.data, "data")
    train, val = datamodule.split("train"), datamodule.split("val")
    network = build(cfg.model.network, "model.network")
    optimizer = build_optimizer(build(cfg.model.optimizer, "model.optimizer"), network)
    size, steps = cfg.data.batch_size, int(cfg.trainer.limit_train_batches or len(train) // cfg.data.batch_size)
    val_batches = int(cfg.trainer.limit_val_batches or -(-len(val) // cfg.data.eval_batch_size))
    val_parts = zip(*(x.split(cfg.data.eval_batch_size) for x in (val.images, val.labels)), strict=True)
    val_set = list(val_parts)[:val_batches]
    mean, std = (torch.tensor(list(values)).view(-1, 1, 1) for values in (cfg.data.mean, cfg.data.std))
    scale, shift = 1 / (255 * std), mean / std

    def normalise(images: Tensor) -> Tensor:
        return images.float().mul_(scale).sub_(shift)

    marks = [now()]
    for _ in range(cfg.trainer.max_epochs):
        order = torch.randperm(len(train))
        network.train()
        for indices in order[: steps * size].split(size):
            images, labels = train.images.index_select(0, indices), train.labels.index_select(0, indices)
            loss = cross_entropy(network(normalise(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        evaluate(network, normalise, val_set)
        marks.append(now())
    return {"images": steps * size, "marks": marks}


@torch.no_grad()
def evaluate(network: nn.Module, normalise: Any, batches: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    loss = correct = 0.0
    for images, labels in batches:
        logits = network(normalise(images))
        loss += cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    return float(loss), float(correct)


def now() -> Epoch:
    return time.process_time(), time.perf_counter()


def rates(result: dict[str, Any]) -> Epoch:
    """Images per CPU second and per second, over all epochs but the first."""
    (cpu0, wall0), (cpu1, wall1) = result["marks"][1], result["marks"][-1]
    images = result["images"] * (len(result["marks"]) - 2)
    return images / (cpu1 - cpu0), images / (wall1 - wall0)


def report(measured: dict[str, list[Epoch]]) -> None:
    ours, bare = measured["train.py"], measured["bare loop"]
    for column, unit in enumerate(("CPU s", "s")):
        pairs = [a[column] / b[column] for a, b in zip(ours, bare, strict=True)]
        print(
            f"  ratio {statistics.median(pairs):.3f}  images per {unit}, train.py / bare loop, n={len(pairs)} pairs, "
            f"[{min(pairs):.3f} .. {max(pairs):.3f}]"
        )
        for name, runs in measured.items():
            values = [run[column] for run in runs]
            median, spread = statistics.median(values), f"[{min(values):,.0f} .. {max(values):,.0f}]"
            print(f"        {median:10,.0f} per {unit:5} {spread}  {name}", flush=True)


if __name__ == "__main__":
    main()
