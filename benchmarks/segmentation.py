"""Segmentation: a film of a rising river with and without steadying, beside background subtraction; cost and memory.

    python benchmarks/segmentation.py film <checkpoint | run folder> [--films 5] [--frames 100]
    python benchmarks/segmentation.py cost [--rounds 20]
    python benchmarks/segmentation.py peer <CamVid's folder> [--epochs 10] [--checkpoint <weights of the encoder>]
    python benchmarks/segmentation.py memory <checkpoint | run folder> [--width 8000] [--height 6000] [--tile 512]

film: the mean error of the river's area, as a share of the true one, and the share of pixels whose class changes from
one frame to the next, of which the truth has some. MOG2 is OpenCV's background subtraction (Zivkovic 2004), which knows
what moves; its mask is compared with the river's. cost: CPU time of an image of 256 x 256, networks by turns.
peer: the recipe of torchvision's segmentation references (SGD 0.01, polynomial decay, resized by 0.5 to 2, flipped,
cropped) in a plain loop, on the network of experiment=segment_camvid; to be held against that, with as many epochs.
memory: of `predict.py tile=512`, the whole command with all that it writes, for a large JPEG.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightloom.config import compose
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build, build_datamodule
from lightloom.core.run_dir import find_checkpoint
from lightloom.data.masks.augment import MaskAugment
from lightloom.data.masks.river_scenes import CLASSES, film
from lightloom.engine import checkpoint, facts
from lightloom.losses.segmentation import IGNORE
from lightloom.metrics.segmentation import of_confusion
from lightloom.ops.images.grid import to_pil
from lightloom.predict.masks.predictor import Predictor
from lightloom.predict.masks.video import Flicker, Steady

ROOT = Path(__file__).parents[1]
ALPHAS = (1.0, 0.7, 0.4, 0.2)
RIVER = CLASSES.index("river")
NETWORKS = {
    "unet, width 16": ["model=unet"],
    "timm_unet, mobilenetv3_small_100": ["model=timm_unet", "model.network.name=mobilenetv3_small_100"],
    "timm_unet, tf_efficientnet_lite0": ["model=timm_unet", "model.network.name=tf_efficientnet_lite0"],
    "timm_unet, resnet18": ["model=timm_unet", "model.network.name=resnet18"],
    "lraspp": ["model=lraspp"],
    "deeplabv3": ["model=deeplabv3"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    films = commands.add_parser("film")
    films.add_argument("ckpt")
    films.add_argument("--films", type=int, default=5)
    films.add_argument("--frames", type=int, default=100)
    commands.add_parser("cost").add_argument("--rounds", type=int, default=20)
    peer = commands.add_parser("peer")
    peer.add_argument("root")
    peer.add_argument("--epochs", type=int, default=10)
    peer.add_argument("--checkpoint", default="null")
    memory = commands.add_parser("memory")
    memory.add_argument("ckpt")
    for name, value in (("width", 8000), ("height", 6000), ("tile", 512)):
        memory.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(1)
    measures = {"film": measure_films, "cost": measure_cost, "peer": measure_peer, "memory": measure_memory}
    measures[args.command](args)


def predictor_of(where: str) -> Predictor:
    """Of a run of river_scenes, or another one's."""
    trained, module = checkpoint.restore(find_checkpoint(where, Path(), prefer="best"))
    return Predictor(module.eval(), trained.data)


def measure_films(args: argparse.Namespace) -> None:
    """Print a row for each way."""
    predictor = predictor_of(args.ckpt)
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(args.films):
        frames = film(1000 + seed, args.frames)
        truth = [mask for _, mask in frames]
        rows.setdefault("truth", []).append((0.0, flicker_of(truth)))
        found = [predictor.probabilities([image])[0] for image, _ in frames]
        for alpha in ALPHAS:
            steady = Steady(alpha)
            masks = [steady.update(p).argmax(0) for p in found]
            rows.setdefault(f"alpha {alpha}", []).append((area_error(masks, truth), flicker_of(masks)))
        moved = subtracted([image for image, _ in frames])
        rows.setdefault("MOG2", []).append((area_error(moved, truth), flicker_of(moved)))
    print(f"{args.films} films of {args.frames} frames")
    print("| way | error of the area | flicker |\n| --- | --- | --- |")
    for name, values in rows.items():
        error, flicker = (statistics.mean(column) for column in zip(*values, strict=True))
        print(f"| {name} | {100 * error:.2f} % | {100 * flicker:.3f} % |")


def flicker_of(masks: Sequence[Tensor]) -> float:
    """The mean share of pixels that change, masks (H, W)."""
    flicker = Flicker()
    for mask in masks:
        flicker.update(mask)
    return flicker.value


def area_error(masks: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """The mean of |found - true| / true of the river's pixels."""
    areas = [(int((m == RIVER).sum()), int((t == RIVER).sum())) for m, t in zip(masks, truth, strict=True)]
    return statistics.mean(abs(found - true) / true for found, true in areas)


def subtracted(images: Sequence[Tensor]) -> list[Tensor]:
    """Where MOG2 sees a change, the river's class; elsewhere another."""
    import cv2

    model = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
    moved = [model.apply(np.ascontiguousarray(image.permute(1, 2, 0).numpy()[..., ::-1])) for image in images]
    return [torch.from_numpy(np.where(mask > 0, RIVER, 0)) for mask in moved]


def measure_cost(args: argparse.Namespace) -> None:
    """Print CPU milliseconds, parameters and operations of each network."""
    from torch.utils.flop_counter import FlopCounterMode

    image = torch.rand(1, 3, 256, 256)
    networks = {name: network(options) for name, options in NETWORKS.items()}
    times: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for _ in range(args.rounds):
            for name, module in networks.items():
                times[name].append(cpu_seconds(lambda module=module: module(image)))
    print("| network | parameters | GFLOP | CPU ms, median and quartiles |\n| --- | --- | --- | --- |")
    for name, module in networks.items():
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            module(image)
        low, middle, high = (1000 * q for q in statistics.quantiles(times[name], n=4))
        count = sum(p.numel() for p in module.parameters())
        flops = counter.get_total_flops() / 1e9
        print(f"| {name} | {count:,} | {flops:.2f} | {middle:.0f} ({low:.0f} to {high:.0f}) |")


def network(options: Sequence[str]) -> torch.nn.Module:
    """In evaluation mode, with weights as they are drawn."""
    cfg = compose.without_hydra(compose.compose("train", [*options, "data=river_scenes"]))
    return build(plain(cfg.model)["network"], "model.network").eval()  # type: ignore[no-any-return]


def measure_peer(args: argparse.Namespace) -> None:
    """Print the mean intersection over union on the validation part, and CPU seconds of a step."""
    options = ["experiment=segment_camvid", f"data.root={args.root}", f"model.network.checkpoint={args.checkpoint}"]
    cfg = compose.without_hydra(compose.compose("train", options))
    torch.manual_seed(0)
    data = build_datamodule(cfg.data)
    cfg.data.update(data.facts())
    facts.fill_in(cfg, data.facts())
    module = build(plain(cfg.model)["network"], "model.network")
    mean, std = (torch.tensor(list(values)).view(-1, 1, 1) for values in (cfg.data.mean, cfg.data.std))
    train, size = data.split("train"), (cfg.data.height, cfg.data.width)
    augment = MaskAugment(*size, scale=[0.5, 2.0], flip=0.5)
    steps = len(train) // cfg.data.batch_size
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, args.epochs * steps, power=0.9)
    seconds = []
    for _ in range(args.epochs):
        module.train()
        for rows in torch.randperm(len(train))[: steps * cfg.data.batch_size].view(steps, -1).tolist():
            started = time.process_time()
            images, masks = zip(*(augment(*train[i]) for i in rows), strict=True)
            logits = module((torch.stack(images).float() / 255 - mean) / std)
            loss = cross_entropy(logits, torch.stack(masks).long(), ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            seconds.append(time.process_time() - started)
    found = of_confusion(confusion_of(module.eval(), data.split("val"), mean, std, len(data.classes)))
    print(
        f"{args.epochs} epochs: val miou {float(found['miou']):.4f}, pixel_acc {float(found['pixel_acc']):.4f}; ",
        end="",
    )
    print(f"{statistics.median(seconds):.3f} CPU s a step")


@torch.inference_mode()
def confusion_of(module: torch.nn.Module, split: Any, mean: Tensor, std: Tensor, classes: int) -> Tensor:
    """Counts of pixels (classes, classes), rows the truth."""
    matrix = torch.zeros(classes * classes, dtype=torch.int64)
    for i in range(len(split)):
        image, mask = split[i]
        labels = module(((image.float() / 255 - mean) / std)[None])[0].argmax(0)
        known = mask != IGNORE
        matrix += (mask[known].long() * classes + labels[known]).bincount(minlength=classes * classes)
    return matrix.view(classes, classes)


def cpu_seconds(call: Callable[[], object]) -> float:
    """Of this process, of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def measure_memory(args: argparse.Namespace) -> None:
    """Print the largest resident memory of predict.py for a large picture in tiles, and for a small one."""
    with tempfile.TemporaryDirectory() as name:
        scene = to_pil(film(1000, 1)[0][0])
        for width, height in ((640, 480), (args.width, args.height)):
            path = Path(name, f"{width}.jpg")
            scene.resize((width, height)).save(path)
            seconds, peak = predicted(path, width * height, f"ckpt_path={args.ckpt}", f"tile={args.tile}")
            print(f"{width} x {height} in tiles of {args.tile}: {peak / 2**20:.2f} GiB at most, {seconds:.0f} CPU s")


def predicted(path: Path, pixels: int, *options: str) -> tuple[float, int]:
    """CPU seconds and the largest resident memory, KiB, of predict.py for a picture."""
    command = [sys.executable, str(ROOT / "src/predict.py"), f"input={path}", *options, f"paths.log_dir={path.parent}"]
    environment = {**os.environ, "LIGHTLOOM_MAX_PIXELS": str(max(pixels, 40_000_000))}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"predict.py failed with exit status {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss


if __name__ == "__main__":
    main()
