"""What grows with the data, the model and the processes: time per image and memory. Flat where it should be?

    python benchmarks/growth.py [--sizes 1000 10000 100000 1000000] [--widths 64 256 1024] [--ranks 1 2]
                                [--epochs 3] [--only data model ranks] [--rows rows.json] [--plot growth.png]

data: batches of 128, cropped and flipped, of grey images of 28 x 28 that are mapped from one file, as a tensor and as
files in the cache; each size has its own process. model: whole epochs of train.py and of a bare loop over a perceptron
of two hidden layers. ranks: whole epochs of LeNet, and of a bare loop under torch's own DistributedDataParallel, in 1
and in 2 processes over gloo: the time of the first process for each of its own images. Memory is what a process has
for itself (RssAnon), of a run what both loops add to it; mapped pages belong to the kernel, which may take them back.
The file has holes instead of pixels, which cost the same. CPU time, one thread in each process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from throughput import BareLoop, Duel, find_data
from timing import ROOT, in_own_process, now, since
from torch.nn.parallel import DistributedDataParallel

from lightloom.data.cache import ImageCache
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import Split

SIDE = 28
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 256, 1024])
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--epochs", type=int, default=3, help="of a run, the first not counted")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rows", type=Path, help="where what is measured is written, and read for the parts left out")
    parser.add_argument("--plot", type=Path, help="the picture to draw")
    parser.add_argument("--child", nargs=3, metavar=("KIND", "SIZE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(load_images(args.child[0], int(args.child[1]), Path(args.child[2]))))
        return
    rows: dict[str, list[Row]] = json.loads(args.rows.read_text()) if args.rows and args.rows.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for part in args.only:
            rows[part] = []
            for row in PARTS[part](args, Path(scratch)):
                rows[part].append(row)
                tell(part, row, first=len(rows[part]) == 1)
    if args.rows:
        args.rows.write_text(json.dumps(rows, indent=1))
    if args.plot:
        plot(rows, args.plot)


# --- data


def against_size(kind: str, size: int, folder: Path) -> Row:
    return json.loads(in_own_process([__file__, "--child", kind, str(size), str(folder)]))


class Mapped:
    """`size` images of zeros, mapped from a file: as one tensor, or as the cache of as many files."""

    classes = ("0", "1")

    def __init__(self, kind: str, size: int, folder: Path) -> None:
        self.kind, self.size, self.file = kind, size, folder / f"{kind}{size}"
        pixels = SIDE * SIDE
        with self.file.open("wb") as file:
            file.truncate(size * pixels)
            if kind == "cache":
                file.seek(size * pixels)
                file.write(np.full(size, zlib.crc32(bytes(pixels)), "<u4").tobytes())

    def read(self, split: str) -> Split | None:
        size = {"train": self.size, "val": 100}.get(split, 0)
        if not size:
            return None
        labels = torch.arange(size) % 2
        if self.kind == "tensor":
            images = torch.from_file(str(self.file), shared=True, size=self.size * SIDE * SIDE, dtype=torch.uint8)
            return Split(images=images.view(-1, 1, SIDE, SIDE)[:size], labels=labels)
        paths = [Path(f"folder/of/images/{i}.png") for i in range(size)]
        cache = ImageCache(self.file, self.size, (1, SIDE, SIDE)).pick(torch.arange(size))
        return Split(paths=paths, labels=labels, cache=cache)


def load_images(kind: str, size: int, folder: Path) -> Row:
    """What batches cost: seconds to the first one, microseconds per image then, megabytes more than without data."""
    torch.set_num_threads(1)
    facts = {"name": "mapped", "kind": "image", "num_classes": 2, "classes": None, "channels": 1, "image_size": SIDE}
    loading = {"batch_size": 128, "eval_batch_size": 512, "augment": Augment(crop_padding=3, flip=True)}
    reader = Mapped(kind, size, folder)
    take(batches(ImageDataModule(Mapped(kind, 1000, folder), **facts, mean=[0.5], std=[0.5], **loading)), 20_000)
    before, started = private_memory(), now()
    endless = batches(ImageDataModule(reader, **facts, mean=[0.5], std=[0.5], **loading))
    next(endless)
    first = since(started)[0]
    count = max(size, 200_000)
    started = now()
    seen = take(endless, count)
    cost = since(started)[0]
    return {
        "data": kind,
        "images": size,
        "first batch s": first,
        "us per image": 1e6 * cost / seen,
        "MB": private_memory() - before,
    }


def batches(data: ImageDataModule) -> Iterator[torch.Tensor]:
    """Augmented training batches without end, epoch by epoch."""
    epoch = 0
    while True:
        data.resume_at(epoch, 0)
        for images, _, keys in data.train_dataloader():
            yield data.augment.geometry(images, keys).float()
        epoch += 1


def take(endless: Iterator[torch.Tensor], count: int) -> int:
    seen = 0
    while seen < count:
        seen += len(next(endless))
    return seen


def private_memory() -> float:
    """Megabytes of this process that are no file's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1000


# --- model and ranks


class MemoryDuel(Duel):
    """Also the memory of both contestants: with parameters, gradients and Adam's two moments, 16 bytes a parameter."""

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self.before = private_memory()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_end(trainer, module)
        found = json.loads(self.path.read_text())
        found["MB"] = private_memory() - self.before
        found["parameters"] = sum(p.numel() for p in module.parameters())
        self.path.write_text(json.dumps(found))


class SharedLoop(BareLoop):
    """This process's part of each batch; torch averages the gradients where there are several processes."""

    def __init__(self, module: Any, datamodule: Any, trainer: pl.Trainer) -> None:
        super().__init__(module, datamodule, trainer)
        self.size //= trainer.world_size
        if trainer.world_size > 1:
            self.network = DistributedDataParallel(self.network)


class SharedDuel(MemoryDuel):
    bare_loop = SharedLoop

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            super().on_train_end(trainer, module)


def train(folder: Path, callback: str, *options: str) -> Any:
    data_dir, _ = find_data("fashion_mnist", folder)
    written = folder / "written.json"
    given = ["data=fashion_mnist", "data.batch_size=128", "test=false", f"paths.data_dir={data_dir}"]
    given += [f"paths.log_dir={folder}/logs", f"+callbacks.watch={{_target_: growth.{callback}, path: {written}}}"]
    in_own_process([str(ROOT / "src/train.py"), *given, *options])
    return json.loads(written.read_text())


def against_width(width: int, epochs: int, folder: Path) -> Row:
    options = ["model=mlp", f"model.network.hidden=[{width},{width}]", "optimizer=adam", "trainer=cpu"]
    options += [f"trainer.max_epochs={epochs}", "trainer.limit_train_batches=100", "trainer.limit_val_batches=1"]
    found = train(folder, "MemoryDuel", *options)
    ours, bare = (1e6 * min(cpu for cpu, _ in found[name]) / found["images"] for name in ("ours", "bare"))
    return {
        "width": width,
        "parameters": found["parameters"],
        "us per image": ours,
        "us, bare loop": bare,
        "MB of both loops": found["MB"],
    }


def against_ranks(ranks: int, epochs: int, folder: Path) -> Row:
    options = ["model=lenet", *(["trainer=cpu"] if ranks == 1 else ["trainer=ddp_cpu", f"trainer.devices={ranks}"])]
    options += [f"trainer.max_epochs={epochs}", "trainer.limit_train_batches=100", "trainer.limit_val_batches=1"]
    found = train(folder, "SharedDuel", *options)
    costs = {
        f"{unit} us{of}": 1e6 * min(epoch[i] for epoch in found[name]) * ranks / found["images"]
        for i, unit in enumerate(("CPU", "wall"))
        for name, of in (("ours", ""), ("bare", ", bare loop"))
    }
    return {"ranks": ranks, **costs, "MB of both loops": found["MB"]}


# --- what is told


PARTS = {
    "data": lambda a, folder: (against_size(kind, n, folder) for kind in ("tensor", "cache") for n in a.sizes),
    "model": lambda a, folder: (against_width(width, a.epochs, folder) for width in a.widths),
    "ranks": lambda a, folder: (against_ranks(ranks, a.epochs, folder) for ranks in a.ranks),
}


def tell(part: str, row: Row, first: bool) -> None:
    if first:
        print(f"{part}\n  " + "".join(f"{name:>20}" for name in row))
    print("  " + "".join(f"{v:20,.2f}" if isinstance(v, float) else f"{v:>20}" for v in row.values()), flush=True)


def plot(rows: dict[str, list[Row]], file: Path) -> None:
    """Time and memory of the parts that were measured."""
    from matplotlib.figure import Figure

    parts = [part for part in PARTS if rows.get(part)]
    figure = Figure(figsize=(3.4 * (len(parts) + ("data" in parts)), 3.2), layout="constrained")
    panels = iter(figure.subplots(1, len(parts) + ("data" in parts), squeeze=False)[0])
    if "data" in parts:
        plot_data(rows["data"], next(panels), next(panels))
    if "model" in parts:
        axes, sizes = next(panels), [row["parameters"] for row in rows["model"]]
        for label, name, style in (("train.py", "us per image", "o-"), ("bare loop", "us, bare loop", "s--")):
            axes.plot(sizes, [row[name] for row in rows["model"]], style, label=label)
        axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel="CPU µs per image", title="training, by model")
        axes.legend(fontsize="small")
    if "ranks" in parts:
        axes, ranks = next(panels), [row["ranks"] for row in rows["ranks"]]
        for label, name, style in (("train.py", "CPU us", "o-"), ("bare loop", "CPU us, bare loop", "s--")):
            axes.plot(ranks, [row[name] for row in rows["ranks"]], style, label=label)
        axes.set(xlabel="processes", ylabel="CPU µs per own image", title="training, by processes", xticks=ranks)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=80)


def plot_data(rows: list[Row], time: Any, memory: Any) -> None:
    for kind, name in (("tensor", "mapped tensor"), ("cache", "files in the cache")):
        points = [row for row in rows if row["data"] == kind]
        sizes = [row["images"] for row in points]
        time.plot(sizes, [row["us per image"] for row in points], "o-", label=name)
        memory.plot(sizes, [max(row["MB"], 0.1) for row in points], "o-", label=name)
    time.set(xscale="log", xlabel="images", ylabel="CPU µs per image", title="loading and augmentation")
    time.set_ylim(bottom=0)
    memory.set(xscale="log", yscale="log", xlabel="images", ylabel="MB", title="memory of the process")
    for axes in (time, memory):
        axes.legend(fontsize="small")


if __name__ == "__main__":
    main()
