"""Annotated images: boxes, labels and masks as a reader found them, and the images they belong to.

Boxes are xyxy in pixels, edges at 0 and at the image's width and height. Labels count from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from lightloom.data.identity import Identity, chained, named_bytes, tensor_bytes
from lightloom.data.images.decode import read_whole

Target = dict[str, Tensor]


class Masks(Protocol):
    """Where an image's masks come from."""

    def read(self, size: tuple[int, int]) -> Tensor:
        """uint8 (N, H, W), 0 or 1, for an image of this height and width."""

    def pick(self, kept: Tensor) -> Masks:
        """The masks at these indices."""


@dataclass(frozen=True)
class Annotation:
    """What is known of one image. name: of the image, for messages and written files. size: height and width, stated by
    the annotation or (None) the file's. boxes: float32 (N, 4); labels, iscrowd: int64 (N,); area: float32 (N,).
    """

    name: str
    path: Path
    boxes: Tensor
    labels: Tensor
    iscrowd: Tensor
    size: tuple[int, int] | None = None
    area: Tensor | None = None
    masks: Masks | None = None
    image_id: int | None = None
    notes: tuple[str, ...] = ()  # kinds of fault that its reader met

    def pick(self, kept: Tensor) -> Annotation:
        """With the boxes at these indices only."""
        return replace(
            self,
            boxes=self.boxes[kept],
            labels=self.labels[kept],
            iscrowd=self.iscrowd[kept],
            area=None if self.area is None else self.area[kept],
            masks=None if self.masks is None else self.masks.pick(kept),
        )


def annotation(
    name: str, path: Path, boxes: Any, labels: Sequence[int], crowd: Sequence[int] = (), **more: Any
) -> Annotation:
    """An Annotation from plain lists. crowd: none is one where it is left out."""
    return Annotation(
        name,
        path,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(crowd or [0] * len(labels), dtype=torch.int64),
        **more,
    )


def elsewhere(root: Path) -> str:
    """What to do where a folder has no data set in it."""
    return f"set data.root to a folder that has it, or paths.data_dir to the folder that has {root.name}/"


class AnnotatedImages:
    """A split on disk: [i] -> (image uint8 (C, H, W), target). `names` are those of the images."""

    def __init__(
        self, annotations: Sequence[Annotation], channels: int = 3, has_masks: bool = False, labelled: bool = True
    ) -> None:
        self.annotations, self.channels = list(annotations), channels
        self.has_masks, self.labelled = has_masks, labelled

    @property
    def names(self) -> list[str]:
        return [a.name for a in self.annotations]

    def identity(self) -> Identity:
        """The images' names and their boxes with labels; no file is opened."""
        boxes = [values for a in self.annotations for values in (a.boxes, a.labels)]
        of = "names of images" + (" and their boxes" if self.annotations else "")
        return Identity(of, chained(encoded(self.names), tensor_bytes(boxes)))

    def pick(self, indices: Tensor) -> AnnotatedImages:
        """The images at these indices, int64 (N,); each keeps its number."""
        kept = [(i, self.annotations[i]) for i in indices.tolist()]
        numbered = [known if known.image_id is not None else replace(known, image_id=i) for i, known in kept]
        return AnnotatedImages(numbered, self.channels, self.has_masks, self.labelled)

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        known = self.annotations[index]
        image = read_whole(known.path, self.channels)
        boxes = known.boxes
        target = {
            "boxes": boxes.clone(),
            "labels": known.labels.clone(),
            "image_id": torch.tensor(index if known.image_id is None else known.image_id),
            "area": box_area(boxes) if known.area is None else known.area.clone(),
            "iscrowd": known.iscrowd.clone(),
        }
        if self.has_masks:
            size = (image.shape[1], image.shape[2])
            target["masks"] = known.masks.read(size) if known.masks else torch.zeros(0, *size, dtype=torch.uint8)
            target["area"] = target["masks"].flatten(1).sum(1).float() if known.area is None else target["area"]
        return image, target


def encoded(names: Iterable[str]) -> Iterator[bytes]:
    """A line for each name."""
    return map(named_bytes, names)


def box_area(boxes: Tensor) -> Tensor:
    """Pixels squared, (N,); boxes (N, 4) xyxy."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
