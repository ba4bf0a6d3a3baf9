"""`python src/train.py` against a bare loop over tensors, and against how others train: training images per second.

    python benchmarks/throughput.py [--model mlp lenet resnet18] [--epochs 20] [--no-peers]

Ours is the command itself, with all that it does by default: bar, console, CSV and TensorBoard logs, training metrics,
keyed randomness, checkpoints after each epoch. The bare loop computes the same: data in memory, network, fused
optimizer, learning-rate schedule, batches, each epoch's training loss and accuracy, validation; nothing else. It
gathers batch by batch, ours several small batches at once. The peers of the grey models are in peers.py. Nobody
augments. They take turns epoch by epoch in one process with one thread, so that a machine whose speed drifts slows all
alike; an epoch of ours counts from its start to the next one's, the first left out, as is the garbage collection
between contestants. Fashion-MNIST comes from $LIGHTLOOM_DATA_DIR; where it is not there, random images of its shape
cost the same. resnet18 sees twelve batches of colour images an epoch, and writes its checkpoint after them.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from peers import TemplateStyle, UsualLoop
from timing import ROOT, Cost, in_own_process, now, report, since
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightloom.core.environment import variable
from lightloom.modules.optimization import total_steps
from lightloom.optim.param_groups import build_optimizer

DATA = {"mlp": "fashion_mnist", "lenet": "fashion_mnist", "resnet18": "cifar10_small"}
SMALLER = {"resnet18": ["trainer.limit_train_batches=12", "trainer.limit_val_batches=1"]}
PLAIN = ["data.batch_size=128", "data.augment.crop_padding=0", "data.augment.flip=false", "trainer=cpu", "test=false"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=DATA, default=["mlp", "lenet"])
    parser.add_argument("--epochs", type=int, default=20, help="of each, the first not counted")
    parser.add_argument("--no-peers", action="store_true", help="the bare loop only")
    args = parser.parse_args()
    for model in args.model:
        with tempfile.TemporaryDirectory() as scratch:
            compare(model, args.epochs, Path(scratch), peers=not args.no_peers and model not in SMALLER)


def compare(model: str, epochs: int, scratch: Path, peers: bool) -> None:
    data_dir, source = find_data(DATA[model], scratch)
    options = [f"model={model}", f"data={DATA[model]}", f"trainer.max_epochs={epochs}", f"paths.data_dir={data_dir}"]
    options += [f"paths.log_dir={scratch}/logs", *PLAIN, *SMALLER.get(model, [])]
    duel = f"+callbacks.duel={{_target_: throughput.{'Contest' if peers else 'Duel'}, path: {scratch}/duel.json}}"
    in_own_process([str(ROOT / "src/train.py"), *options, duel])
    result = json.loads((scratch / "duel.json").read_text())
    print(f"{model} on {source}, torch {torch.__version__}, lightning {pl.__version__}, 1 thread, {epochs} epochs each")
    report(result["images"], {"train.py": result["ours"], "bare loop": result["bare"], **result["peers"]})


def find_data(name: str, scratch: Path) -> tuple[Path, str]:
    """The folder that has the data set, and what to call it; random images of its layout where it is missing."""
    folder = Path(variable("LIGHTLOOM_DATA_DIR") or ROOT / "data")
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
        self.optimizer = build_optimizer(module.optimizer, self.network, module.optimizer_groups)
        self.scheduler = module.scheduler(self.optimizer, total_steps=total_steps(trainer))["scheduler"]
        self.device, self.train, val = module.device, datamodule.split("train"), datamodule.split("val")
        self.size, self.steps, self.smoothing = (
            datamodule.batch_size,
            trainer.num_training_batches,
            module.loss.label_smoothing,
        )
        parts = zip(*(x.split(datamodule.eval_batch_size) for x in (val.images, val.labels)), strict=True)
        self.val = list(parts)[: trainer.num_val_batches[0]] if trainer.num_val_batches else list(parts)
        self.images, self.labels = self.train.images.to(self.device), self.train.labels.to(self.device)
        self.scale, self.shift = 1 / (255 * module.std), module.mean / module.std

    def epoch(self) -> None:
        network, optimizer, size = self.network.train(), self.optimizer, self.size
        loss_sum, correct = torch.zeros(2, device=self.device).unbind()
        for indices in torch.randperm(len(self.train), device=self.device)[: self.steps * size].split(size):
            images, labels = self.images.index_select(0, indices), self.labels.index_select(0, indices)
            loss, logits = self.loss(self.prepare(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.scheduler.step()
            loss_sum.add_(loss.detach(), alpha=size)
            correct.add_((logits.detach().argmax(1) == labels).sum())
        loss_sum.item()  # where there is a device, this waits for it
        evaluate(network.eval(), self.normalise, self.val)

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(images)
        return cross_entropy(logits, labels, label_smoothing=self.smoothing), logits

    def prepare(self, images: Tensor) -> Tensor:
        return self.normalise(images)

    def normalise(self, images: Tensor) -> Tensor:
        return images.float().mul_(self.scale).sub_(self.shift)


class Duel(pl.Callback):
    """Before each epoch of the run, one of the bare loop and of each peer on the same data; writes down what all cost.

    A loop whose `epoch` returns a cost has counted for itself.
    """

    bare_loop: type[Any] = BareLoop
    peers: dict[str, type[Any]] = {}  # noqa: RUF012

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.ours: list[Cost] = []
        self.others: dict[str, list[Cost]] = {}
        self.started: Cost | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.started is None:
            kinds = {"bare": self.bare_loop, **self.peers}
            self.loops = {name: kind(module, trainer.datamodule, trainer) for name, kind in kinds.items()}
        else:
            self.ours.append(since(self.started))
        for name, loop in self.loops.items():
            gc.collect()  # what one has left behind, another need not clear away
            started = now()
            self.others.setdefault(name, []).append(loop.epoch() or since(started))
        gc.collect()
        self.started = now()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert self.started is not None
        self.ours.append(since(self.started))
        others = {name: costs[1:] for name, costs in self.others.items()}
        images = trainer.num_training_batches * trainer.datamodule.batch_size
        found = {"images": images, "ours": self.ours[1:], "bare": others.pop("bare"), "peers": others}
        self.path.write_text(json.dumps(found))


class Contest(Duel):
    peers = {"usual loop": UsualLoop, "template style": TemplateStyle}  # noqa: RUF012


@torch.no_grad()
def evaluate(network: nn.Module, normalise: Any, batches: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    loss = correct = 0.0
    for images, labels in batches:
        logits = network(normalise(images))
        loss += cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    return float(loss), float(correct)


if __name__ == "__main__":
    main()
