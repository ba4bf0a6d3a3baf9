"""Augmentation that moves boxes and masks as it moves their image, by torchvision's transforms v2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import crop, sanitize_bounding_boxes

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Natural, NotNegative, Positive, Share, checked
from lightloom.data.boxes.annotations import Target, box_area

OF_THE_IMAGE = ("image_id", "proposals")  # entries of a target that are not one for each box
PAPER = 114  # the grey around the images of a mosaic


@part
class BoxAugment:
    """Mosaic, flip, colours, a crop as SSD's or large-scale jitter, in this order; each is left out at 0, or None.

    flip, iou_crop, mosaic: probabilities. colour: strength of changes in brightness, contrast and saturation, and of
    hue by a tenth. jitter: a range of factors by which images that fit `image_size` squared are scaled before a crop
    to it.
    """

    @checked
    def __init__(
        self,
        flip: Share = 0.0,
        colour: NotNegative = 0.0,
        iou_crop: Share = 0.0,
        jitter: Sequence[Positive] | None = None,
        mosaic: Share = 0.0,
        image_size: Natural = 0,
    ) -> None:
        self.mosaic = mosaic  # the dataset makes them: they need other images
        if jitter is not None and (len(jitter) != 2 or not 0 < jitter[0] <= jitter[1]):
            raise UserError(f"data.augment.jitter is {list(jitter)}; expected [low, high] with 0 < low <= high.")
        steps: list[Any] = []
        if flip:
            steps.append(v2.RandomHorizontalFlip(flip))
        if colour:
            steps.append(v2.ColorJitter(colour, colour, colour, min(colour / 10, 0.5)))
        if iou_crop:
            steps.append(v2.RandomApply([IoUCrop()], iou_crop))
        if jitter:
            square = (image_size, image_size)
            steps.append(v2.ScaleJitter(square, (jitter[0], jitter[1]), antialias=True))
            steps.append(v2.RandomCrop(square, pad_if_needed=True))
        self.change = v2.Compose(steps) if steps else None

    def __call__(self, image: Any, target: Any) -> Any:
        return (image, target) if self.change is None else self.change(image, target)


class Proposals(tv_tensors.BoundingBoxes):
    """Boxes that no label belongs to: an image's proposals."""


class IoUCrop(v2.RandomIoUCrop):
    """torchvision's, which leaves an image without boxes alone, and keeps proposals whose centres are cut away."""

    def forward(self, *inputs: Any) -> Any:
        return super().forward(*inputs) if len(inputs[1]["boxes"]) else inputs

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if params and isinstance(inpt, Proposals):
            return crop(inpt, *(params[name] for name in ("top", "left", "height", "width")))
        return super().transform(inpt, params)


def pick(target: Target, kept: Tensor) -> Target:
    """A target with the boxes at these indices only."""
    return {name: value if name in OF_THE_IMAGE else value[kept] for name, value in target.items()}


def apply(change: Callable[..., Any], image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """An image and its target after a transform of torchvision's v2; boxes that are less than a pixel left are dropped.

    image: uint8 (C, H, W). `area` is that of the changed boxes, or of the masks where there are some.
    """
    size = (image.shape[-2], image.shape[-1])
    boxes = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=size)  # type: ignore[call-overload]
    wrapped: dict[str, Any] = {"boxes": boxes, "labels": target["labels"]}
    if "proposals" in target:
        wrapped["proposals"] = Proposals(target["proposals"], format="XYXY", canvas_size=size)  # type: ignore[call-overload]
    if "masks" in target:
        wrapped["masks"] = tv_tensors.Mask(target["masks"])
    changed, new = change(tv_tensors.Image(image), wrapped)
    boxes, kept = sanitize_bounding_boxes(new["boxes"], min_size=1)
    found = {"boxes": boxes.as_subclass(Tensor), "labels": target["labels"][kept], "image_id": target["image_id"]}
    found["iscrowd"] = target["iscrowd"][kept]
    if "proposals" in new:
        found["proposals"] = sanitize_bounding_boxes(new["proposals"], min_size=1)[0].as_subclass(Tensor)
    if "masks" in new:
        found["masks"] = new["masks"].as_subclass(Tensor)[kept]
        found["area"] = found["masks"].flatten(1).sum(1).float()
    else:
        found["area"] = box_area(found["boxes"])
    return changed.as_subclass(Tensor), found


def mosaic(samples: Sequence[tuple[Tensor, Target]], size: int) -> tuple[Tensor, Target]:
    """Four images meet in a point: each fitted into `size` squared, laid around it and cut to `size` squared at random
    (Bochkovskiy et al. 2020, YOLOv4). The first one's image_id stays.
    """
    channels = samples[0][0].shape[0]
    page = torch.full((channels, 2 * size, 2 * size), PAPER, dtype=torch.uint8)
    parts: list[Target] = []
    for quarter, (image, target) in enumerate(samples):
        image, target = apply(v2.Resize(None, max_size=size, antialias=True), image, target)
        height, width = image.shape[1:]
        y, x = size - height * (quarter < 2), size - width * (quarter % 2 == 0)
        page[:, y : y + height, x : x + width] = image
        by = torch.tensor([x, y, x, y])
        moved = target | {name: target[name] + by for name in ("boxes", "proposals") if name in target}
        if "masks" in target:
            moved["masks"] = torch.zeros(len(target["masks"]), 2 * size, 2 * size, dtype=torch.uint8)
            moved["masks"][:, y : y + height, x : x + width] = target["masks"]
        parts.append(moved)
    both = {k: v if k == "image_id" else torch.cat([part[k] for part in parts]) for k, v in parts[0].items()}
    return apply(v2.RandomCrop((size, size)), page, both)
