"""Detectors for live use on one image of 320 px: GFLOP, parameters, and CPU time in turns, one thread.

    python benchmarks/live_detectors.py [rounds]

Ours and torchvision's SSDlite, untrained, of COCO's 90 classes, without their non-maximum suppression having anything
to do: a trained detector finds few boxes. The ratio is to model=yolo within a round.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

from lightloom.config import compose
from lightloom.config.instantiate import build

SIDE, CLASSES = 320, 90


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {}
    for name in ("yolo", "yolo_fast"):
        options = [f"model={name}", "data=digit_scenes", f"data.image_size={SIDE}", f"data.num_classes={CLASSES}"]
        cfg = compose.without_hydra(compose.compose("train", options))
        made[f"model={name}"] = build(cfg.model.network, "model.network")
    made["torchvision's SSDlite"] = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, score_thresh=0.05
    )
    return {name: network.eval() for name, network in made.items()}


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    made, images = networks(), [torch.rand(3, SIDE, SIDE)]
    taken: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds + 1):
        for name, network in made.items():
            started = time.process_time()
            network(images)
            taken[name].append((time.process_time() - started) * 1e3)
    first = next(iter(made))
    print(f"{'GFLOP':>6} {'parameters':>11} {'CPU ms':>7} {'quartiles':>15} {'ratio':>6}  n={rounds}")
    for name, network in made.items():
        with FlopCounterMode(display=False) as flops:
            network(images)
        low, middle, high = statistics.quantiles(taken[name][1:], n=4)
        ratio = statistics.median(a / b for a, b in zip(taken[name][1:], taken[first][1:], strict=True))
        count = sum(p.numel() for p in network.parameters())
        spread = f"{low:.1f} .. {high:.1f}"
        print(f"{flops.get_total_flops() / 1e9:6.2f} {count:11,} {middle:7.1f} {spread:>15} {ratio:6.2f}  {name}")


if __name__ == "__main__":
    main()
