"""Images with boxes in shards: a JSON beside each image, and one PNG with all of its masks below each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightloom.core.documents import parse_json
from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count
from lightloom.core.schema import Rule, check, exactly, items, number, whole
from lightloom.data.boxes.annotations import AnnotatedImages, Target
from lightloom.data.images.decode import read_whole
from lightloom.data.images.layout import SplitName
from lightloom.data.images.readers import image_of
from lightloom.data.images.shards import png, written
from lightloom.data.shards.index import REMEDY, Sample
from lightloom.data.shards.reading import InShards, ShardReader
from lightloom.data.shards.writing import Packed

KIND, CHOICE = "detection", "shards_boxes"
TARGET, MASKS = "json", "masks.png"


@part
class ShardedBoxes(ShardReader):
    """Images with boxes in shards. root: a folder or address. window: shards that an epoch mixes together."""

    kind = KIND

    def __init__(self, root: str, channels: Count = 3, window: Count = 8) -> None:
        super().__init__(root, window)
        self.channels = channels

    @property
    def has_masks(self) -> bool:
        return self.index.facts.get("has_masks") is True

    def read(self, split: SplitName) -> BoxesInShards | None:
        found = self.index.part(split, self.window)
        return None if found is None else BoxesInShards(found, self.channels, self.has_masks, len(self.classes))


@dataclass(frozen=True)
class BoxesInShards(InShards):
    """[i] -> (image uint8 (C, H, W), target). order: of each label, from 0 (background), the number in a model."""

    channels: int
    has_masks: bool
    num_classes: int
    order: Tensor | None = None

    def renumbered(self, order: Tensor) -> BoxesInShards:
        """With the labels of a model."""
        return replace(self, order=order)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        sample = self.shards[index]
        image = read_whole(image_of(sample), self.channels)
        target = self._target(sample, image) if TARGET in sample.members else nothing()
        if self.order is not None:
            target["labels"] = self.order[target["labels"]]
        if self.has_masks:
            target["masks"] = masks_of(sample, len(target["labels"]), image)
        return image, {**target, "image_id": torch.tensor(int(self.shards.rows[index]))}

    def _target(self, sample: Sample, image: Tensor) -> Target:
        text = sample.file(TARGET).read().decode(errors="replace")
        known = check(parse_json(text, sample.name), rule(self.num_classes), sample.name)
        boxes = torch.tensor(known["boxes"], dtype=torch.float32).view(-1, 4)
        target = {
            "boxes": boxes,
            "labels": torch.tensor(known["labels"], dtype=torch.int64),
            "area": torch.tensor(known["area"], dtype=torch.float32),
            "iscrowd": torch.tensor(known["iscrowd"], dtype=torch.int64),
        }
        size = torch.tensor([image.shape[2], image.shape[1]])
        inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= size).all() and (boxes[:, :2] < boxes[:, 2:]).all()
        if not inside or len({len(value) for value in target.values()}) > 1:
            raise UserError(f"{sample.name}: has boxes outside of its image, or not a label for each; {REMEDY}.")
        return target


def rule(num_classes: int) -> Rule:
    """What the JSON of a sample has to be."""
    known = {"boxes": items(number(), multiple=4, of="coordinates"), "labels": items(whole(1, num_classes))}
    return exactly({**known, "area": items(number(0)), "iscrowd": items(whole(0, 1))})


def nothing() -> Target:
    """The target of an image without boxes, or one of which nothing is known."""
    numbers = {name: torch.zeros(0, dtype=torch.int64) for name in ("labels", "iscrowd")}
    return {"boxes": torch.zeros(0, 4), "area": torch.zeros(0), **numbers}


def masks_of(sample: Sample, count: int, image: Tensor) -> Tensor:
    """uint8 (count, H, W), 0 or 1; UserError where the PNG has another size."""
    height, width = image.shape[1:]
    if not count:
        return torch.zeros(0, height, width, dtype=torch.uint8)
    stacked = read_whole(sample.file(MASKS), 1)
    if stacked.shape[1:] != (count * height, width):
        raise UserError(f"{sample.name}: its {MASKS} is not {count} masks of the image's size; {REMEDY}.")
    return (stacked.view(count, height, width) > 127).to(torch.uint8)


def facts(datamodule: Any) -> dict[str, Any]:
    """Whether there are masks."""
    return {"has_masks": bool(datamodule.has_masks)}


def samples(split: Any) -> Iterator[Packed]:
    """Each image of a split with what is known of it."""
    for i in range(len(split)):
        image, target = split[i]
        found = written(split.annotations[i].path if isinstance(split, AnnotatedImages) else image)
        yield ({**found, **_known(target)}, 0) if split.labelled else (found, None)


def _known(target: Target) -> dict[str, bytes]:
    lists = {name: target[name].tolist() for name in ("labels", "area", "iscrowd")}
    content = json.dumps({"boxes": target["boxes"].flatten().tolist(), **lists})
    masks = target.get("masks")
    stacked = {} if masks is None or not len(masks) else {MASKS: png(masks.view(1, -1, masks.shape[2]) * 255)}
    return {TARGET: content.encode(), **stacked}
