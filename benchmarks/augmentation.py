"""Crop and flip, a batch at a time against an image at a time: images per second of one CPU core.

    python benchmarks/augmentation.py [grey|colour] [--rounds 9] [--batch-size 128]

The contestants take turns in one process with one thread, so that a busy machine slows all of them. All start from
uint8 in memory and end with a float batch in [0, 1]; the padding is an eighth of the image. Grey uses fashion_mnist in
$LIGHTLOOM_DATA_DIR where it is there; otherwise the images are random, which costs the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import torch
from timing import table, take_turns
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image

from lightloom.core.environment import variable
from lightloom.data.images.augment import Augment
from lightloom.data.images.readers import Idx
from lightloom.ops.rng import mix_tensor

SIZES = {"grey": (1, 28), "colour": (3, 32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", nargs="?", choices=SIZES, default="grey")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=128)
    args = parser.parse_args()

    torch.set_num_threads(1)
    images, source = load(args.kind, n=16 * args.batch_size)
    batches = cycle(images.split(args.batch_size))
    ways = {name: lambda way=way: len(way(next(batches))) for name, way in contestants(images).items()}
    title = f"{source}, {tuple(images.shape[1:])}, batch {args.batch_size}, torch {torch.__version__}, 1 thread"
    table(title, take_turns(ways, args.rounds))


def load(kind: str, n: int) -> tuple[Tensor, str]:
    root = Path(variable("LIGHTLOOM_DATA_DIR") or "data") / "fashion_mnist"
    if kind == "grey" and root.is_dir():
        return Idx(root, "FashionMNIST").read("train").images[:n], "fashion_mnist"
    channels, size = SIZES[kind]
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8), "random images"


def contestants(images: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    size = images.shape[-1]
    padding = size // 8
    steps = [v2.RandomCrop(size, padding=padding), v2.RandomHorizontalFlip()]
    scale = v2.ToDtype(torch.float32, scale=True)
    on_tensor, on_pil = v2.Compose([*steps, scale]), v2.Compose([*steps, v2.ToImage(), scale])
    # Data sets of torchvision make their PIL image from an array, item by item: that is part of their price.
    augment = Augment(crop_padding=padding, flip=True)

    def batched(batch: Tensor) -> Tensor:
        keys = mix_tensor(0, torch.arange(len(batch)))
        return augment.geometry(batch, keys).float().div_(255)

    return {
        "lightloom, batched": batched,
        "torchvision v2, per tensor": lambda batch: torch.stack([on_tensor(image) for image in batch]),
        "torchvision v2, per PIL image": lambda batch: torch.stack([on_pil(to_pil_image(image)) for image in batch]),
    }


if __name__ == "__main__":
    main()
