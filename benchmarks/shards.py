"""Shards against a folder of the same images: how fast they are read, here and over HTTP, and what a resumed run reads.

    python benchmarks/shards.py [--rounds 5]

Photographs are those of coco128 (see image_folder.py), small images are random PNG of 32 x 32. All ways decode with one
thread and no worker and take turns; files are in the page cache, and the server of files is a process on this machine.
The last table is an epoch's order for more samples than lie here: what a resumed run pays before its first batch.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from image_folder import CHUNK, CLASSES, batches, collect
from timing import ROOT, table, take_turns
from torchvision.transforms import v2

from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import ImageFolder
from lightloom.data.images.shards import ShardedImages
from lightloom.data.sampling import Blocks, KeyedBatches
from lightloom.data.shards.conversion import convert

SERVER = """import pathlib, ranged, sys
with ranged.serving(pathlib.Path(sys.argv[1])) as found:
    print(found.address, flush=True)
    input()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, fill, size in (("photographs", collect, 224), ("small images", small, 32)):
        with tempfile.TemporaryDirectory() as scratch:
            folder, out = Path(scratch) / "images", Path(scratch) / "shards"
            fill(folder)
            convert(data(ImageFolder(folder, 3, size), size), out, 64, 1 << 28)
            with served(out) as address:
                compare(f"{name} to {size} pixels", folder, out, address, size, args.rounds)
    orders()


def compare(title: str, folder: Path, out: Path, address: str, size: int, rounds: int) -> None:
    """Images per second of CPU time and, of the address, of wall time too: it waits for the server."""
    readers = {"shards": ShardedImages(str(out)), "shards over HTTP": ShardedImages(address)}
    readers["image folder"] = ImageFolder(folder, 3, size)
    endless = {name: batches(data(reader, size)) for name, reader in readers.items()}
    table(title, take_turns({n: lambda b=b: len(next(b)[0]) for n, b in endless.items()}, rounds, seconds=0.5))
    for name, found in endless.items():
        started, done = time.perf_counter(), 0
        while (spent := time.perf_counter() - started) < 1:
            done += len(next(found)[0])
        print(f"{done / spent:10,.0f} images per second of wall time, {name}")


def data(reader: Any, size: int) -> ImageDataModule:
    facts = {"name": "images", "kind": "image", "num_classes": CLASSES, "classes": None, "channels": 3}
    loading = {"batch_size": CHUNK, "eval_batch_size": CHUNK, "augment": Augment(), "val_fraction": 0.02}
    return ImageDataModule(reader, **facts, **loading, mean=[0.5] * 3, std=[0.25] * 3, image_size=size)


def small(folder: Path, count: int = 1000) -> None:
    for i in range(count):
        (folder / str(i % CLASSES)).mkdir(parents=True, exist_ok=True)
        image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
        v2.functional.to_pil_image(image).save(folder / str(i % CLASSES) / f"{i}.png")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests/support")}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], env=environment, **pipes)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate("\n")


def orders() -> None:
    print("an epoch's order, shards of 10,000 samples, a window of 8; from its last batch on, as a resumed run has it")
    for size in (1_000_000, 10_000_000):
        order = KeyedBatches(size, 256, 0, blocks=Blocks(torch.arange(size) // 10_000, 8))
        order.start_at(len(order) - 1)
        started = time.perf_counter()
        next(iter(order))
        print(f"{size:12,} samples {time.perf_counter() - started:8.2f} s {size * 20 / 1e6:8.0f} MB of index")


if __name__ == "__main__":
    main()
