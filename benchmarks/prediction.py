"""Images per second of predict.py over a bare batched loop, in pairs: the same files, reader and network.

    python benchmarks/prediction.py [--images 1000] [--rounds 3]

The bare loop reads a batch, calls the network and keeps nothing. predict.py, in this process and without its start,
also finds the files, keeps their order, notes what cannot be read, writes a table or COCO's JSON, and draws the boxes.
Weights are random: what a network finds costs little beside finding it. Scenes of digits, 128 pixels square, are PNG
files; photographs of 640 x 480 pixels are the same as JPEG.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from timing import Cost, now, report, since
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightloom.config.compose import compose, without_hydra
from lightloom.data.boxes.scenes import DigitScenes
from lightloom.data.images.datamodule import to_float
from lightloom.data.images.decode import read_image, read_whole
from lightloom.networks.detection.torchvision import pyramid
from lightloom.networks.detection.yolo import Yolo
from lightloom.networks.resnet import ResNet
from lightloom.ops.images.grid import to_pil
from lightloom.predict import choose

CLASSES = [str(digit) for digit in range(10)]
SIZE = 32  # of the classifier's images


class Classifies(pl.LightningModule):
    num_classes = 10

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        return self.network(batch[0]).softmax(1)


class Detects(pl.LightningModule):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return self.network(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    classifier = Classifies(ResNet(3, 10, SIZE, 20)).eval()
    detector = Detects(Yolo(10, 128, pyramid())).eval()
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        scenes, photographs = draw(Path(scratch), args.images)
        for title, module, files, size, bare in (
            (f"resnet20 at {SIZE} px, scenes", classifier, scenes, 512, classify),
            ("yolo at 128 px, scenes", detector, scenes, 8, detect),
            ("yolo at 128 px, photographs", detector, photographs, 8, detect),
        ):
            ways = {
                "predict.py": predict(module, files[0].parent, Path(scratch)),
                "bare loop": lambda module=module, files=files, size=size, bare=bare: bare(module, files, size),
            }
            print(f"{title}, {len(files)} files, batches of {size}")
            report(len(files), measure(ways, args.rounds))


def draw(folder: Path, count: int) -> tuple[list[Path], list[Path]]:
    """The files of `count` scenes, and of the same as photographs."""
    split = DigitScenes(128, count).read("train")
    found: tuple[list[Path], list[Path]] = ([], [])
    for name in ("scenes", "photographs"):
        (folder / name).mkdir()
    for i in range(count):
        scene = split[i][0]
        found[0].append(folder / f"scenes/{i:06d}.png")
        to_pil(scene).save(found[0][-1])
        large = interpolate(scene[None].float(), (480, 640), mode="bilinear")[0].byte()
        found[1].append(folder / f"photographs/{i:06d}.jpg")
        to_pil(large).save(found[1][-1])
    return found


def predict(module: pl.LightningModule, folder: Path, scratch: Path) -> Callable[[], None]:
    cfg = without_hydra(compose("predict", ["trainer=cpu", f"input={folder}", "min_score=0.2"]))
    cfg.paths.output_dir = str(scratch / "out")
    kind = "image" if isinstance(module, Classifies) else "detection"
    data = {"kind": kind, "name": "scenes", "channels": 3, "image_size": SIZE, "classes": CLASSES}
    trained = OmegaConf.create({"run_name": "x", "data": data})

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            choose.choose(cfg, trained, module).run(cfg, trained, choose.settle(cfg, module))

    return run


def classify(module: Classifies, files: Sequence[Path], size: int) -> None:
    for begin in range(0, len(files), size):
        images = torch.stack([read_image(path, 3, SIZE) for path in files[begin : begin + size]])
        module.predict_step((to_float(images),), 0)


def detect(module: Detects, files: Sequence[Path], size: int) -> None:
    for begin in range(0, len(files), size):
        module.detect([to_float(read_whole(path, 3)) for path in files[begin : begin + size]])


def measure(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = now()
            way()
            costs[name].append(since(started))
    return costs


if __name__ == "__main__":
    main()
