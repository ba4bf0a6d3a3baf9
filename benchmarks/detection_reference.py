"""`python src/train.py` against the loop of torchvision's detection references: images per second, and what is learned.

    python benchmarks/detection_reference.py [--data digit_scenes|bccd] [--model faster_rcnn] [--epochs 9] [--steps 10]
    python benchmarks/detection_reference.py --train --data bccd --weights tf_efficientnet_lite0.pth --epochs 12
    ... trainer.precision=bf16-mixed model.optimizer.lr=5e-4      (more options of train.py, for both)

Ours is the command itself with all that it does by default. The reference, in our words, does what torchvision's
references/detection does with its defaults: a DataLoader that reads and decodes an image file for each sample and draws
its flip, lists as batches, a linear warm-up of the learning rate over the first epoch and two drops, smoothed meters of
each loss with the time of data and of steps, a loss that must be finite, a checkpoint after each epoch. Network,
initial weights, optimizer and its rate, batch size, probability of a flip and number of epochs are ours. They take
turns epoch by epoch in one process with one thread, so that a machine whose speed drifts slows both alike; an epoch of
ours counts from its start to the next one's, the first left out. Without --train an epoch has --steps batches and
nothing is validated. With --train epochs are whole, ours is validated after each, and at the end both are tested by the
same metric: ours as it reports itself (its best epoch of validation), and both as their last epoch left them.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from PIL import Image
from throughput import Duel, find_data
from timing import ROOT, in_own_process, report
from torch import Tensor
from torch.optim.lr_scheduler import LinearLR, MultiStepLR
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from lightloom.data.boxes.annotations import AnnotatedImages
from lightloom.data.boxes.datamodule import Split
from lightloom.metrics.detection import CocoPrecision
from lightloom.ops.rng import mix

WINDOW, PRINTED = 20, 20  # values that a meter smooths over, steps between two lines
DROPS = (16 / 26, 22 / 26)  # of the epochs, where the rate falls to a tenth
OPTIONS = {
    "digit_scenes": [],
    "bccd": ["model.network.backbone.name=tf_efficientnet_lite0"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="options of train.py")
    parser.add_argument("--data", choices=OPTIONS, default="digit_scenes")
    parser.add_argument("--model", default="faster_rcnn")
    parser.add_argument("--weights", type=Path, help="the state_dict file of the backbone's classifier; norm is frozen")
    parser.add_argument("--epochs", type=int, default=9, help="of each, the first not counted")
    parser.add_argument("--steps", type=int, default=10, help="of an epoch, without --train")
    parser.add_argument("--train", action="store_true", help="whole epochs, and what both have learned")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.epochs < 3:
        parser.error("--epochs: three or more, of which the first is not counted")
    with tempfile.TemporaryDirectory() as scratch:
        compare(args, Path(scratch))


def compare(args: argparse.Namespace, scratch: Path) -> None:
    options = [f"model={args.model}", f"data={args.data}", f"trainer.max_epochs={args.epochs}", f"seed={args.seed}"]
    options += ["trainer=cpu", f"paths.log_dir={scratch}/logs", *OPTIONS[args.data]]
    if args.data != "digit_scenes":
        options.append(f"paths.data_dir={find_data(args.data, scratch)[0]}")
    if args.weights:
        weights = args.weights.resolve()
        options += [f"model.network.backbone.checkpoint='{weights}'", "model.network.backbone.norm=frozen"]
    if not args.train:
        options += [f"trainer.limit_train_batches={args.steps}", "trainer.limit_val_batches=0", "test=false"]
    duel = "+callbacks.duel={_target_: detection_reference.DetectionDuel, path: " + str(scratch / "duel.json") + "}"
    in_own_process([str(ROOT / "src/train.py"), *options, *args.overrides, duel])
    result = json.loads((scratch / "duel.json").read_text())
    words = " ".join(["from weights" if args.weights else "from scratch", *args.overrides])
    print(
        f"{args.model} on {args.data}, {words}, seed {args.seed}, {args.epochs} epochs of {result['steps']} steps, "
        f"torch {torch.__version__}, lightning {pl.__version__}, 1 thread"
    )
    report(result["images"], {"train.py": result["ours"], "reference": result["bare"]})
    if args.train:
        ours, theirs = (sum(wall for _, wall in result[name]) / 60 for name in ("ours", "bare"))
        print(f"  {ours:.1f} and {theirs:.1f} minutes without the first epoch, ours with validation")
        (results,) = (scratch / "logs").glob("runs/*/*/results.json")
        best = json.loads(results.read_text())
        learned = {
            "train.py, best of validation": {"map": best["test/map"], "map50": best["test/map50"]},
            **result["learned"],
        }
        for name, found in learned.items():
            print(f"  map50 {found['map50']:.4f}  map {found['map']:.4f}  of the test images: {name}")


# --- the reference


class ImagesFromFiles(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Each sample is read anew, turned into tensors, flipped by chance and made float, one by one."""

    def __init__(self, split: Split, flip: float, masks: bool) -> None:
        self.split, self.masks = split, masks
        steps = [v2.RandomHorizontalFlip(flip)] if flip else []
        self.transform = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()])

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        image, target = self.read(self.split, index)
        single = target["iscrowd"] == 0
        size = (image.shape[-2], image.shape[-1])
        chosen: dict[str, Any] = {
            "boxes": tv_tensors.BoundingBoxes(target["boxes"][single], format="XYXY", canvas_size=size),  # type: ignore[call-overload]
            "labels": target["labels"][single],
        }
        if self.masks:
            chosen["masks"] = tv_tensors.Mask(target["masks"][single])
        return self.transform(tv_tensors.Image(image), chosen)

    def read(self, split: Split, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        if not isinstance(split, AnnotatedImages) or self.masks:
            return split[index]  # scenes, which have no files
        known = split.annotations[index]
        image = v2.functional.pil_to_tensor(Image.open(known.path).convert("RGB"))
        return image, {"boxes": known.boxes, "labels": known.labels, "iscrowd": known.iscrowd}


def as_lists(samples: list[tuple[Tensor, dict[str, Any]]]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


class Meter:
    """The last values, and the mean of all."""

    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=WINDOW)
        self.total, self.count = 0.0, 0

    def add(self, value: float) -> None:
        self.last.append(value)
        self.total += value
        self.count += 1

    def __str__(self) -> str:
        return f"{torch.tensor(list(self.last)).median():.4f} ({self.total / self.count:.4f})"


class Meters:
    """Named meters, with the time that data and steps take; a line of them every PRINTED steps."""

    def __init__(self, epoch: int) -> None:
        self.epoch, self.of = epoch, defaultdict[str, Meter](Meter)

    def add(self, values: dict[str, Tensor | float]) -> None:
        for name, value in values.items():
            self.of[name].add(value.item() if isinstance(value, Tensor) else value)

    def watch(self, loader: DataLoader, steps: int) -> Iterator[Any]:
        started = time.time()
        for i, batch in zip(range(steps), loader, strict=False):
            self.add({"data": time.time() - started})
            yield batch
            self.add({"time": time.time() - started})
            if i % PRINTED == 0 or i == steps - 1:
                line = "  ".join(f"{name}: {meter}" for name, meter in self.of.items())
                print(f"Epoch: [{self.epoch}] [{i}/{steps}]  {line}", flush=True)
            started = time.time()


class ReferenceLoop:
    """Training as in torchvision's references/detection, for a copy of the module's network."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        self.network = copy.deepcopy(module.network)
        self.optimizer = module.optimizer([p for p in self.network.parameters() if p.requires_grad])
        self.steps, epochs = int(trainer.num_training_batches), trainer.max_epochs or 1
        self.by_epoch = MultiStepLR(self.optimizer, [round(share * epochs) for share in DROPS], gamma=0.1)
        split, flip = datamodule.split("train"), getattr(datamodule.augment.change, "transforms", [])
        flips = [t.p for t in flip if isinstance(t, v2.RandomHorizontalFlip)]
        dataset = ImagesFromFiles(split, flips[0] if flips else 0.0, module.masks)
        self.loader = DataLoader(dataset, datamodule.batch_size, shuffle=True, drop_last=True, collate_fn=as_lists)
        self.bf16 = trainer.precision == "bf16-mixed"
        self.seed, self.done, self.folder = datamodule.seed, 0, Path(trainer.default_root_dir)

    def epoch(self) -> None:
        torch.manual_seed(mix(self.seed, 7, self.done))
        self.network.train()
        meters, warm_up = Meters(self.done), None
        if self.done == 0 and self.steps > 1:
            warm_up = LinearLR(self.optimizer, 1 / 1000, total_iters=min(1000, self.steps - 1))
        for images, targets in meters.watch(self.loader, self.steps):
            self.step(list(images), [dict(t.items()) for t in targets], meters)
            if warm_up:
                warm_up.step()
        self.by_epoch.step()
        self.done += 1
        state = {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "epoch": self.done}
        torch.save(state | {"lr_scheduler": self.by_epoch.state_dict()}, self.folder / "reference.pth")

    def step(self, images: list[Tensor], targets: list[dict[str, Tensor]], meters: Meters) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            losses = self.network(images, targets)
            total = sum(losses.values())
        if not math.isfinite(total.item()):
            sys.exit(f"reference: the loss is {total.item()}")
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        meters.add({"loss": total, **losses, "lr": self.optimizer.param_groups[0]["lr"]})


class DetectionDuel(Duel):
    """Writes down what both networks know at the end too, where test images are asked for."""

    bare_loop = ReferenceLoop

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_end(trainer, module)
        result = json.loads(self.path.read_text()) | {"steps": int(trainer.num_training_batches)}
        if trainer.num_val_batches and trainer.num_val_batches[0]:
            networks: dict[str, Any] = {
                "train.py, last epoch": module.network,
                "reference, last epoch": self.loops["bare"].network,
            }
            result["learned"] = {name: self.tested(module, network, trainer) for name, network in networks.items()}
        self.path.write_text(json.dumps(result))

    @torch.no_grad()
    def tested(self, module: Any, network: Any, trainer: Any) -> dict[str, float]:
        metric, own = CocoPrecision(), module.network
        was_training, module.network = module.training, network
        module.eval()
        network.eval()
        for batch in trainer.datamodule.eval_loader("test"):
            images, targets = trainer.datamodule.on_after_batch_transfer(batch, 0)
            metric.update(module.detect(images), targets)
        module.network = own
        module.train(was_training)
        return {name: float(value) for name, value in metric.compute().items() if name in ("map", "map50")}


if __name__ == "__main__":
    main()
