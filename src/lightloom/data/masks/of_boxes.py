"""Objects with masks as classes of pixels: what a reader of boxes reads, painted on one map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.data.identity import Identity
from lightloom.data.images.readers import SplitName
from lightloom.data.masks.decode import IGNORE

BACKGROUND = "background"


class ReadsObjects(Protocol):
    """A reader of data.boxes."""

    @property
    def classes(self) -> list[str]: ...

    @property
    def has_masks(self) -> bool: ...

    def read(self, split: SplitName) -> Any: ...


@part
class ObjectsAsMasks:
    """Class 0 is the background, class i that of label i. Of objects that overlap the last one lies on top; crowds are
    ignored.
    """

    def __init__(self, reader: ReadsObjects) -> None:
        self.reader = reader

    @property
    def classes(self) -> list[str]:
        return [BACKGROUND, *self.reader.classes]

    def read(self, split: SplitName) -> PaintedObjects | None:
        if not self.reader.has_masks:
            raise UserError(
                f"{type(self.reader).__name__}: the objects have boxes and no outlines, so their pixels are not known; "
                f"use data with masks"
            )
        found = self.reader.read(split)
        return None if found is None else PaintedObjects(found)


@dataclass(frozen=True)
class PaintedObjects:
    """objects: a split of data.boxes."""

    objects: Any

    @property
    def labelled(self) -> bool:
        return bool(self.objects.labelled)

    def identity(self) -> Identity:
        return self.objects.identity()  # type: ignore[no-any-return]

    def pick(self, indices: Tensor) -> PaintedObjects:
        return PaintedObjects(self.objects.pick(indices))

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, target = self.objects[index]
        return image, painted(target["masks"], target["labels"], target["iscrowd"], image.shape[-2:])


def painted(masks: Tensor, labels: Tensor, crowds: Tensor, size: Any) -> Tensor:
    """uint8 (H, W). masks: (N, H, W), labels from 1 and crowds, 0 or 1: (N,)."""
    canvas = torch.zeros(tuple(size), dtype=torch.uint8)
    for mask, label, is_crowd in zip(masks, labels.tolist(), crowds.tolist(), strict=True):
        canvas[mask.bool()] = IGNORE if is_crowd else label
    return canvas
