"""What commands of the docs find of boxes: folders of three layouts, and a video."""

from fractions import Fraction
from pathlib import Path

import torch

from lightloom.data.boxes.scenes import DigitScenes
from lightloom.data.boxes.writers import Boxes, write_coco, write_voc, write_yolo
from lightloom.ops.images.grid import write_png
from lightloom.tracking.video import VideoWriter

DIGITS = [str(digit) for digit in range(10)]


def fill(folder: Path) -> None:
    with VideoWriter(folder / "street.mp4", Fraction(25)) as writer:
        for i in range(12):
            writer.write(torch.randint(256, (3, 96, 96), dtype=torch.uint8), i / 25)
    write_boxes(folder / "data")


def write_boxes(data: Path) -> None:
    """Scenes of digits as files of Pascal VOC, COCO and YOLO."""
    scenes = DigitScenes(64, train_size=24).read("train")
    names = [f"{name}.png" for name in scenes.names]
    boxes = [Boxes(n, (64, 64), t["boxes"], t["labels"]) for n, (_, t) in zip(names, scenes, strict=False)]
    for place in ("cells/JPEGImages", "parts/images", "street/images"):
        for i, name in enumerate(names):
            write_png(data / place / name, scenes[i][0])
    write_voc(data / "cells/Annotations", boxes, DIGITS)
    write_coco(data / "parts/annotations.json", boxes, DIGITS)
    write_yolo(data / "street", boxes, DIGITS)
