"""A folder of JPEGs: how near the loader is to its decoder, and what data.cache=true saves from the second epoch on.

    python benchmarks/image_folder.py [--image-size 224] [--rounds 5]

The decoder is Pillow's (libjpeg-turbo), which ours uses; torchvision.io's, the same library without Pillow, and
torchvision's ImageFolder with Resize and CenterCrop are the peers. All ways read the same files with one thread and no
worker and take turns; files are in the page cache. The photographs are those of coco128 in $LIGHTLOOM_DATA_DIR; where
it is not there, smooth random ones of 640 x 480 pixels.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import PIL
import torch
import torchvision
from PIL import Image
from timing import table, take_turns
from torchvision import transforms
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import v2

from lightloom.core.environment import variable
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.decode import read_image
from lightloom.data.images.readers import ImageFolder

CHUNK = 16  # images in a turn of a way
CLASSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        source = collect(Path(scratch) / "photos")
        ways = contestants(Path(scratch), args.image_size)
        title = f"{source} to {args.image_size} pixels, Pillow {PIL.__version__}, torchvision {torchvision.__version__}"
        table(title, take_turns(ways, args.rounds, seconds=0.5))


def collect(folder: Path) -> str:
    """Photographs in class folders; says where they are from."""
    for label in range(CLASSES):
        (folder / str(label)).mkdir(parents=True)
    found = sorted((Path(variable("LIGHTLOOM_DATA_DIR") or "data") / "coco128").rglob("*.jpg"))
    for i, path in enumerate(found):
        (folder / str(i % CLASSES) / path.name).symlink_to(path.absolute())
    if found:
        return f"{len(found)} photographs of coco128"
    for i in range(128):
        coarse = torch.rand(1, 3, 30, 40)
        photo = torch.nn.functional.interpolate(coarse, (480, 640), mode="bicubic").clamp(0, 1)[0]
        v2.functional.to_pil_image(photo + 0.05 * torch.randn_like(photo)).save(folder / f"{i % CLASSES}/{i}.jpg")
    return "128 random pictures"


def contestants(scratch: Path, size: int) -> dict[str, Callable[[], int]]:
    paths = sorted((scratch / "photos").rglob("*.jpg"))
    pillow = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()])
    theirs = torchvision.datasets.ImageFolder(scratch / "photos", pillow)
    on_tensor = v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])
    again = batches(datamodule(scratch, size, cache=True))
    for _ in range(2 * len(paths) // CHUNK):  # of these every image is in the cache
        next(again)
    uncached = batches(datamodule(scratch, size, cache=False))
    numbers = cycle(range(len(paths)))

    def one_by_one(read: Callable[[Path], Any]) -> Callable[[], int]:
        return lambda: len([read(paths[next(numbers)]) for _ in range(CHUNK)])

    return {
        "loader, from the cache": lambda: len(next(again)[0]),
        "loader, first epoch with a cache": first_epoch(scratch, size),
        "loader, without a cache": lambda: len(next(uncached)[0]),
        "read_image": one_by_one(lambda path: read_image(path, 3, size)),
        "Pillow's decoder alone": one_by_one(lambda path: Image.open(path).convert("RGB")),
        "torchvision.io's decoder alone": one_by_one(decode),
        "torchvision.io, resized and cropped": one_by_one(lambda path: on_tensor(decode(path))),
        "torchvision's ImageFolder": lambda: len([theirs[next(numbers)] for _ in range(CHUNK)]),
    }


def decode(path: Path) -> torch.Tensor:
    return decode_image(read_file(str(path)), ImageReadMode.RGB)


def datamodule(scratch: Path, size: int, cache: bool, folder: str = "cache") -> ImageDataModule:
    facts = {"name": "photos", "kind": "image", "num_classes": CLASSES, "classes": None, "channels": 3}
    loading = {"batch_size": CHUNK, "eval_batch_size": CHUNK, "augment": Augment(), "val_fraction": 0.02}
    normal = {"mean": [0.5] * 3, "std": [0.25] * 3, "image_size": size}
    kept = {"cache": cache, "cache_dir": str(scratch / folder)}
    return ImageDataModule(reader=ImageFolder(scratch / "photos", 3, size), **facts, **loading, **normal, **kept)


def batches(data: ImageDataModule) -> Any:
    """Training batches without end."""
    while True:
        yield from data.train_dataloader()


def first_epoch(scratch: Path, size: int) -> Callable[[], int]:
    """Batches of first epochs only: with each epoch the cache is a new one."""
    numbers = cycle(range(10**9))

    def anew() -> Any:
        while True:
            yield from datamodule(scratch, size, cache=True, folder=f"cache{next(numbers)}").train_dataloader()

    endless = anew()
    return lambda: len(next(endless)[0])


if __name__ == "__main__":
    main()
