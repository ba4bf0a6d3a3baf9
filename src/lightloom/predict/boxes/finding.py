"""How a detector is asked: which of its boxes are kept, in which precision, in which views and tiles of a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.ops import batched_nms, box_area, box_iou, nms

from lightloom.core.errors import UserError
from lightloom.metrics.detection import Boxes, confident
from lightloom.predict.boxes.predictor import Predictor
from lightloom.predict.choices import numbers_of

Find = Callable[[Sequence[Tensor]], list[Boxes]]
BATCH = 8  # images at a time: they are photographs, in their own size
OVERLAP = 0.5  # IoU of two boxes that are one, where the detector states none
INSIDE = 0.7  # of a box that a tile's border cuts: it is part of an object of which another view shows more
BORDER = 0.01  # of a tile's side: a box so near to it is cut by it


def finder(cfg: DictConfig, predictor: Predictor, labels: list[int] | None, min_score: float) -> Find:
    """What a detector finds in images, a dict each, best first, by predict.py's options for boxes. labels: those that
    are kept, None for all.
    """
    module = predictor.module
    own = limit(module, min_score, cfg.iou, cfg.max_detections)
    overlap = cfg.iou if cfg.iou is not None else own
    find: Find = predictor.predict
    if cfg.half:
        halve(module, module.device.type)
    if cfg.augment:
        find = mirrored(find, overlap)
    if cfg.tile is not None:
        find = tiled(find, cfg.tile, cfg.tile_overlap, overlap, cfg.batch_size or BATCH)

    again, agnostic, most = cfg.iou is not None or cfg.agnostic_nms, cfg.agnostic_nms, cfg.max_detections

    def select(images: Sequence[Tensor]) -> list[Boxes]:
        found = [of_classes(confident(one, min_score), labels) for one in find(images)]
        if again:
            found = [suppressed(one, overlap, agnostic) for one in found]
        return found if most is None else [{name: of[:most] for name, of in one.items()} for one in found]

    return select


def limit(module: nn.Module, min_score: float, iou: float | None, most: int | None) -> float:
    """Let the detector itself select by these, where it has torchvision's names for them; its IoU threshold."""
    overlap = OVERLAP
    for part in module.modules():
        selects: Any = part
        if not all(hasattr(part, name) for name in ("score_thresh", "nms_thresh", "detections_per_img")):
            continue
        selects.score_thresh = min(selects.score_thresh, min_score)
        selects.nms_thresh = selects.nms_thresh if iou is None else iou
        selects.detections_per_img = most or selects.detections_per_img
        overlap = selects.nms_thresh
    return overlap


def chosen_classes(names: Sequence[str] | None, classes: Sequence[str]) -> list[int] | None:
    """The labels of the classes that `classes=` names, or None for all; UserError for one that the detector lacks."""
    return None if names is None else [number + 1 for number in numbers_of(names, classes, "the detector")]


def of_classes(found: Boxes, labels: list[int] | None) -> Boxes:
    """The detections that have one of these labels; all where labels is None."""
    if labels is None:
        return found
    return _picked(found, torch.isin(found["labels"], torch.tensor(labels, device=found["labels"].device)))


def suppressed(found: Boxes, iou: float, agnostic: bool = False) -> Boxes:
    """Of boxes that overlap by more than `iou` the best one, of each class or of all (agnostic); best first."""
    boxes, scores = found["boxes"], found["scores"]
    return _picked(found, nms(boxes, scores, iou) if agnostic else batched_nms(boxes, scores, found["labels"], iou))


def halve(module: nn.Module, device: str) -> None:
    """Let the backbone, where most of the work is, compute in float16 on a GPU and in bfloat16 elsewhere.

    The rest stays in full precision: a box of 8 bits is pixels off.
    """
    parts = [part for name, part in module.named_modules() if name.rpartition(".")[2] == "backbone"]
    if not parts:
        raise UserError(f"half=true: {type(module).__name__} has no backbone to be halved; leave it out.")
    full = parts[0].forward

    def half(images: Tensor) -> dict[str, Tensor]:
        with torch.autocast(device, torch.float16 if device == "cuda" else torch.bfloat16):
            maps = full(images)
        return {name: values.float() for name, values in maps.items()}

    parts[0].forward = half  # type: ignore[method-assign]


def mirrored(find: Find, iou: float) -> Find:
    """In each image and in its mirror image; of what both show the better box."""

    def both(images: Sequence[Tensor]) -> list[Boxes]:
        found = find([*images, *(image.flip(-1) for image in images)])
        again = [_unmirrored(one, image.shape[-1]) for one, image in zip(found[len(images) :], images, strict=True)]
        return [suppressed(_joined(pair), iou) for pair in zip(found, again, strict=False)]

    return both


def tiled(find: Find, side: int, overlap: float, iou: float, at_once: int) -> Find:
    """In tiles of `side` pixels that overlap by a share of that at least, and in the whole image for what is larger.

    A box that a tile's border cuts is dropped where another view shows more of the object. An image that fits into one
    tile is looked at as without tiles. at_once: tiles in a batch.
    """

    def over(image: Tensor) -> Boxes:
        height, width = image.shape[-2:]
        places = list(tiles(height, width, side, overlap))
        if len(places) == 1:
            return find([image])[0]
        views = [image, *(image[:, y : y + side, x : x + side] for y, x in places)]
        found = find(views[:1])
        for begin in range(1, len(views), at_once):
            found += find(views[begin : begin + at_once])
        seen = list(zip(found, views, [(0, 0), *places], strict=True))
        cut = torch.cat([_cut(one, view.shape, place, (height, width)) for one, view, place in seen])
        return merged(_joined([_placed(one, place, (height, width)) for one, _, place in seen]), cut, iou)

    return lambda images: [over(image) for image in images]


def tiles(height: int, width: int, side: int, overlap: float) -> Iterator[tuple[int, int]]:
    """The upper left corners (y, x) of tiles that cover an image, evenly spread."""
    for y in _starts(height, side, overlap):
        for x in _starts(width, side, overlap):
            yield y, x


def merged(found: Boxes, cut: Tensor, iou: float) -> Boxes:
    """Boxes of several views of one image, each object once, best first. cut: bool (N,), of those that a border cuts.

    Whole boxes come before those that are cut, then better ones before others; what overlaps one of its class by more
    than `iou`, or is cut and lies inside of one, is the same object.
    """
    order = sorted(range(len(cut)), key=lambda i: (bool(cut[i]), -float(found["scores"][i])))
    found, cut = _picked(found, torch.tensor(order, dtype=torch.int64)), cut[order]
    boxes, labels = found["boxes"], found["labels"]
    inside = _shared(boxes) > INSIDE * box_area(boxes)
    covers = (labels[:, None] == labels) & ((box_iou(boxes, boxes) > iou) | (cut & inside))
    alive = torch.ones(len(cut), dtype=torch.bool)
    for i in range(len(cut)):
        if alive[i]:
            alive[i + 1 :] &= ~covers[i, i + 1 :]
    kept = _picked(found, alive)
    return _picked(kept, kept["scores"].argsort(descending=True, stable=True))


def _shared(boxes: Tensor) -> Tensor:
    """The area that each two of boxes (N, 4) have in common, (N, N)."""
    first, last = torch.maximum(boxes[:, None, :2], boxes[:, :2]), torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    return (last - first).clamp(min=0).prod(2)


def _starts(length: int, side: int, overlap: float) -> list[int]:
    if length <= side:
        return [0]
    count = -(-(length - overlap * side) // ((1 - overlap) * side))
    return [round(i * (length - side) / (count - 1)) for i in range(int(count))]


def _cut(found: Boxes, view: Sequence[int], place: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Which boxes (N, 4) of a view end at a border of it that is none of the image."""
    (height, width), (y, x) = view[-2:], place
    near = BORDER * max(height, width)
    x1, y1, x2, y2 = found["boxes"].unbind(1)
    left, top = (x1 <= near) & (x > 0), (y1 <= near) & (y > 0)
    right, bottom = (x2 >= width - near) & (x + width < size[1]), (y2 >= height - near) & (y + height < size[0])
    return left | top | right | bottom


def _placed(found: Boxes, place: tuple[int, int], size: tuple[int, int]) -> Boxes:
    """The boxes and masks of a view where they lie in the image."""
    y, x = place
    moved = found | {"boxes": found["boxes"] + torch.tensor([x, y, x, y])}
    if "masks" in found:
        height, width = found["masks"].shape[-2:]
        moved["masks"] = pad(found["masks"], (x, size[1] - x - width, y, size[0] - y - height))
    return moved


def _unmirrored(found: Boxes, width: int) -> Boxes:
    x1, y1, x2, y2 = found["boxes"].unbind(1)
    back = found | {"boxes": torch.stack([width - x2, y1, width - x1, y2], 1)}
    return back | ({"masks": found["masks"].flip(-1)} if "masks" in found else {})


def _joined(found: Sequence[Boxes]) -> Boxes:
    return {name: torch.cat([one[name] for one in found]) for name in found[0]}


def _picked(found: Boxes, kept: Tensor) -> Boxes:
    return {name: values[kept] for name, values in found.items()}
