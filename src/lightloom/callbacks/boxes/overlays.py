"""Draw images with ground-truth boxes beside the same images with predicted ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.callbacks.pages import ExamplePages
from lightloom.core import atomic_io
from lightloom.core.ranges import Count
from lightloom.core.text import line
from lightloom.metrics.detection import Boxes, confident, match
from lightloom.ops.images.grid import MARGIN, captioned, grid, of_one_size, to_uint8, write_png
from lightloom.ops.typed_trainer import classes_of

COLUMNS = 2  # pairs side by side
SIDE = 256  # pixels: smaller images are enlarged, so that names can be read
LARGE = 1000  # pixels of a side, for each of which boxes are drawn as wide again: a large image is seen from afar
WEAK = 0.05  # the lowest score of the detections in overlays.json
MOST_SIDE = 640  # pixels of the images beside it
LINE = (12, 6)  # pixels: the height of a name, the width of a letter
COLOURS = ["#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45", "#fabed4"]
Scene = tuple[Tensor, Boxes, Boxes]  # image, truth, detections


@dataclass(frozen=True)
class Example:
    """image: (C, H, W). found: the confident detections. weak: those that a lower threshold could show, too."""

    image: Tensor
    truth: Boxes
    found: Boxes
    weak: Boxes


class Overlays(ExamplePages):
    """Writes `overlays/epoch-0001.png` and so on, and overlays.png and overlays.json at a test: truths and what was
    found, in pairs.

    See `ExamplePages`; the worst have the most truths missed, then the most false boxes. Detections below the module's
    min_score are not shown; overlays.json has the weaker ones too, for a report in which the threshold can be moved.
    """

    name, output = "overlays", "detections"

    def __init__(self, dirpath: str, num_images: Count = 8) -> None:
        super().__init__(dirpath, num_images)

    def examples(self, outputs: Any, batch: Any, module: Any, chosen: Sequence[int]) -> list[Example]:
        of_all = ((batch[0][i].cpu(), _on_cpu(batch[1][i]), _on_cpu(outputs["detections"][i])) for i in chosen)
        return [Example(image, truth, confident(one, module.min_score), _weak(one)) for image, truth, one in of_all]

    def badness(self, example: Example) -> tuple[int, int]:
        return faults(example.truth, example.found)

    def page(self, examples: Sequence[Example], trainer: pl.Trainer) -> Tensor:
        return page([(one.image, one.truth, one.found) for one in examples], classes_of(trainer))

    def write_beside(self, examples: Sequence[Example], trainer: pl.Trainer) -> None:
        scenes = [(one.image, one.truth, one.weak) for one in examples]
        write_scenes(self.folder, scenes, classes_of(trainer))


def write_scenes(folder: Path, scenes: Sequence[Scene], classes: Sequence[str]) -> None:
    """overlays.json: for each scene the file of its image, without boxes, its size, and its boxes in its pixels."""
    told = []
    for number, (image, truth, found) in enumerate(scenes, 1):
        image, factor = to_uint8(image), min(1.0, MOST_SIDE / max(image.shape[-2:]))
        if factor < 1:
            smaller = interpolate(image[None].float(), scale_factor=factor, mode="bilinear", antialias=True)
            image = smaller[0].round().byte()
        path = folder / "overlays" / f"test-{number:04d}.png"
        write_png(path, image)
        told.append(
            {
                "image": path.relative_to(folder).as_posix(),
                "size": [image.shape[2], image.shape[1]],
                "truth": _rows(truth, factor, classes),
                "found": _rows(found, factor, classes),
            }
        )
    atomic_io.write_text(folder / "overlays.json", json.dumps(told) + "\n")


def _on_cpu(boxes: Boxes) -> Boxes:
    return {name: values.cpu() for name, values in boxes.items()}


def _weak(found: Boxes) -> Boxes:
    """The detections that a lower threshold could show, without their masks."""
    every = {name: found[name].cpu() for name in ("boxes", "labels", "scores")}
    return confident(every, WEAK)


def _rows(boxes: Boxes, factor: float, classes: Sequence[str]) -> list[dict[str, Any]]:
    labels = boxes["labels"].tolist()
    rows = [
        {"box": [round(x * factor, 1) for x in box], "name": _name(label, classes), "label": label}
        for box, label in zip(boxes["boxes"].tolist(), labels, strict=True)
    ]
    for row, score in zip(rows, boxes["scores"].tolist() if "scores" in boxes else [], strict=False):
        row["score"] = round(score, 4)
    return rows


def _name(label: int, classes: Sequence[str]) -> str:
    return line(classes[label - 1]) if 0 < label <= len(classes) else str(label)


def faults(truth: Boxes, found: Boxes) -> tuple[int, int]:
    """How many true boxes were missed, and how many of those found are false; a wrong class is both."""
    right = int((match(found, truth, by_class=True) >= 0).sum())
    return len(truth["boxes"]) - right, len(found["boxes"]) - right


def page(shown: Sequence[Scene], classes: Sequence[str]) -> Tensor:
    """Pairs of drawn images, padded to the largest, uint8 (3, H, W)."""
    drawn = [drawn_on(image, boxes, classes) for image, *both in shown for boxes in both]
    columns = 2 * min(COLUMNS, len(shown))
    return captioned(grid(of_one_size(drawn), columns), top=["truth", "found"] * (columns // 2))


def drawn_on(image: Tensor, boxes: Boxes, classes: Sequence[str]) -> Tensor:
    """An image, enlarged by a whole factor to SIDE pixels or more, with boxes, names and scores; uint8 (3, H, W).

    A colour is a class, or one object where there is only one class. Names and scores are left out where they would
    hide what they name: of low boxes, and of all where the image is crowded. Boxes with `ids`, of tracks, always show
    these and their class, and each has a colour of its own: a film's names are not to come and go.
    """
    from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

    factor = max(1, -(-SIDE // (max(image.shape[-2:]) + MARGIN)))
    pixels = torch.stack(to_uint8(image).expand(3, -1, -1).unbind(), 2)  # as who draws and encodes takes them
    canvas = pixels.repeat_interleave(factor, 0).repeat_interleave(factor, 1).permute(2, 0, 1)
    if not len(boxes["boxes"]):
        return canvas
    corners = boxes["boxes"].cpu() * factor
    colours = _colours(boxes, len(classes))
    if "masks" in boxes:
        masks = interpolate(boxes["masks"].cpu()[None].float(), scale_factor=factor)[0].bool()
        canvas = draw_segmentation_masks(canvas, masks, alpha=0.4, colors=colours)
    names = _captions(boxes, classes)
    width = (1 if "masks" in boxes else 2) * max(1, max(canvas.shape[1:]) // LARGE)
    shown = range(len(names)) if "ids" in boxes else readable(names, corners, canvas.shape[1] * canvas.shape[2])
    said = [name if i in shown else None for i, name in enumerate(names)]
    return draw_bounding_boxes(canvas, corners, said, colours, width=width, label_colors="black", fill_labels=True)


def _colours(boxes: Boxes, num_classes: int) -> list[Any]:
    """One for each box: of its track, else of its class, or its own where there is only one class."""
    labels = boxes["labels"].tolist()
    numbers = boxes["ids"].tolist() if "ids" in boxes else range(len(labels)) if num_classes == 1 else labels
    return [COLOURS[i % len(COLOURS)] for i in numbers]


def _captions(boxes: Boxes, classes: Sequence[str]) -> list[str]:
    """The class of each box, with the number of its track or else its score."""
    names = [_name(label, classes) for label in boxes["labels"].tolist()]
    if "ids" in boxes:
        return [f"{name} #{number}" for name, number in zip(names, boxes["ids"].tolist(), strict=True)]
    if "scores" in boxes:
        return [f"{name} {score:.2f}" for name, score in zip(names, boxes["scores"].tolist(), strict=True)]
    return names


def readable(names: Sequence[str], boxes: Tensor, area: int) -> list[int]:
    """Which names hide little: of boxes (N, 4) twice as high as a line, where these are half of all or more and their
    names together cover an eighth of `area` or less.
    """
    line, letter = LINE
    high = [i for i, box in enumerate(boxes.tolist()) if box[3] - box[1] >= 2 * line]
    covered = sum(line * letter * len(names[i]) for i in high)
    return high if 2 * len(high) >= len(boxes) and 8 * covered <= area else []
