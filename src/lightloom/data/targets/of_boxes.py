"""Images with boxes as images with a number for each class: whether it is there, or how often."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from lightloom.core.parts import part
from lightloom.data.images.readers import Split, SplitName


class ReadsObjects(Protocol):
    """A reader of data.boxes."""

    @property
    def classes(self) -> list[str]: ...

    def read(self, split: SplitName) -> Any: ...


@part
class ObjectsAsTargets:
    """counts: how many objects of a class an image has; else 1 where it has any, 0 where none."""

    def __init__(self, reader: ReadsObjects, counts: bool = False) -> None:
        self.reader, self.counts = reader, counts

    @property
    def classes(self) -> list[str]:
        return list(self.reader.classes)

    def read(self, split: SplitName) -> Split | None:
        found = self.reader.read(split)
        if found is None:
            return None
        if annotations := getattr(found, "annotations", None):
            labels, where = [known.labels for known in annotations], [known.path for known in annotations]
            return Split(paths=where, labels=self._targets(labels))
        pairs = [found[i] for i in range(len(found))]
        images = torch.stack([image for image, _ in pairs])
        return Split(images=images, labels=self._targets([target["labels"] for _, target in pairs]))

    def _targets(self, labels: list[Tensor]) -> Tensor:
        """float (N, classes) of labels from 1, (M,) for each image."""
        width = len(self.classes)
        counted = torch.stack([torch.bincount(one - 1, minlength=width) for one in labels]).float()
        return counted if self.counts else counted.clamp(max=1)
