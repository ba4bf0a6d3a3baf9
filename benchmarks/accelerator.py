"""`experiment=cifar10_speedrun` on the device at hand: images per second, and the share of its arithmetic that is used.

    python benchmarks/accelerator.py [--precision 32-true bf16-mixed] [--compile false true] [--epochs 6]
                                     [--images 50000] [--set key=value ...]

For each precision, compiled and not, whole epochs of train.py and of a bare loop take turns in a process of their own.
The bare loop has the images on the device, the same augmentation, network, precision and compilation, and reads its
mean loss once per epoch. Nothing is validated. MFU, the share of the device's arithmetic that is used: the operations
of forward and backward pass as torch counts them, times images per second, over those per second of a product of two
large square matrices in bfloat16, or in float32 with TF32 where the device has it, measured in the same process.
CIFAR-10 comes from $LIGHTLOOM_DATA_DIR; where it is not there, as many random images of its shape cost the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from throughput import BareLoop, Duel
from timing import ROOT, in_own_process, report
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lightloom.core.environment import variable

OPTIONS = ["experiment=cifar10_speedrun", "test=false", "trainer.limit_val_batches=0"]
PRECISIONS = ["32-true", "bf16-mixed"]
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--compile", nargs="+", default=["false", "true"], choices=["false", "true"])
    parser.add_argument("--epochs", type=int, default=6, help="of each, the first not counted")
    parser.add_argument("--images", type=int, default=50_000, help="for training, where they are random")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="options of every run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data_dir, source = find_cifar10(Path(scratch), args.images)
        for precision, compiled in itertools.product(args.precision, args.compile):
            options = [*OPTIONS, f"trainer.precision={precision}", f"model.compile={compiled}"]
            options += [f"trainer.max_epochs={args.epochs}", f"paths.data_dir={data_dir}", *args.set]
            compare(options, Path(scratch), f"{source}, {precision}{', compiled' * (compiled == 'true')}")


def compare(options: list[str], scratch: Path, what: str) -> None:
    duel = f"+callbacks.duel={{_target_: accelerator.DeviceDuel, path: {scratch}/duel.json}}"
    in_own_process([str(ROOT / "src/train.py"), f"paths.log_dir={scratch}/logs", *options, duel])
    found = json.loads((scratch / "duel.json").read_text())
    print(f"{what}; {found['device']}, torch {torch.__version__}, lightning {pl.__version__}")
    loops = {"train.py": found["ours"], "bare loop": found["bare"]}
    report(found["images"], loops)
    for name, costs in loops.items():
        operations = found["operations"] * found["images"] / statistics.median(wall for _, wall in costs)
        limit = f"of {found['limit'] / 1e12:.3g} TFLOP/s"
        print(f"  MFU {operations / found['limit']:.3f}  {operations / 1e12:.3g} {limit}, {name}", flush=True)


def find_cifar10(scratch: Path, images: int) -> tuple[Path, str]:
    """The folder that has it, and what to call it; random images in its files where it is missing."""
    folder = Path(variable("LIGHTLOOM_DATA_DIR") or ROOT / "data")
    if (folder / "cifar10").is_dir():
        return folder, "cifar10"
    place, generator = scratch / "cifar10/cifar-10-batches-py", np.random.default_rng(0)
    place.mkdir(parents=True)
    for name in BATCHES:
        pixels = generator.integers(256, size=(images // 5, 3072), dtype=np.uint8)
        content = {"data": pixels, "labels": generator.integers(10, size=len(pixels)).tolist()}
        (place / name).write_bytes(pickle.dumps(content))
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{i}" for i in range(10)]}))
    return scratch, "random images like cifar10"


class DeviceLoop(BareLoop):
    """On the module's device, with the run's augmentation, precision and compilation."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        super().__init__(module, datamodule, trainer)
        self.augment, self.val = datamodule.augment, []
        self.bf16 = trainer.precision == "bf16-mixed"
        if module.network._compiled_call_impl is not None:
            self.network.compile()

    def prepare(self, images: Tensor) -> Tensor:
        keys = torch.randint(2**62, (len(images),), device=self.device)
        images = self.normalise(self.augment.geometry(images, keys))
        return images.contiguous(memory_format=torch.channels_last)

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return super().loss(images, labels)


class DeviceDuel(Duel):
    """Writes down also what the device is, can do, and is asked to do for an image."""

    bare_loop = DeviceLoop

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_end(trainer, module)
        found, loop = json.loads(self.path.read_text()), self.loops["bare"]
        device = torch.cuda.get_device_name() if loop.device.type == "cuda" else str(loop.device)
        found |= {"device": device, "operations": operations(loop), "limit": limit(loop.device, loop.bf16)}
        self.path.write_text(json.dumps(found))


def operations(loop: DeviceLoop) -> float:
    """Floating-point operations of forward and backward pass, for an image."""
    images, labels = (x[:100].to(loop.device) for x in (loop.train.images, loop.train.labels))
    loop.network._compiled_call_impl = None
    with FlopCounterMode(display=False) as counter:
        loss, _ = loop.loss(loop.prepare(images), labels)
        loss.backward()
    return counter.get_total_flops() / len(images)


def limit(device: torch.device, bf16: bool) -> float:
    """Operations per second of a product of two square matrices, the best of ten."""
    size = 8192 if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    torch.backends.cuda.matmul.allow_tf32 = True
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        (a @ a)[0, 0].item()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


if __name__ == "__main__":
    main()
