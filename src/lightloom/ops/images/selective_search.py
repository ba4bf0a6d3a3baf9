"""Selective search: boxes that may hold an object, from segments that are joined step by step.

Uijlings, van de Sande, Gevers & Smeulders 2013, Selective Search for Object Recognition, IJCV 104(2), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.ops import nms

from lightloom.core.parts import part
from lightloom.core.ranges import Count, Positive, Seed, Share, checked
from lightloom.ops.images.colours import Space, planes
from lightloom.ops.images.segments import segments
from lightloom.ops.rng import mix, mix_tensor, uniform

VERSION = 1  # of what is found: boxes that are kept are found again where it is another
COLOURS, ORIENTATIONS, RESPONSES = 25, 8, 10  # bins of a plane's values, directions of a derivative, and bins of it
ALL, WITHOUT_COLOUR = ("colour", "texture", "size", "fill"), ("texture", "size", "fill")
SIMILARITIES = (ALL, WITHOUT_COLOUR)


@dataclass
class Regions:
    """What is known of N regions: pixels (N,), boxes xyxy (N, 4) in pixels, and two histograms, each of sum 1."""

    pixels: np.ndarray
    boxes: np.ndarray
    colour: np.ndarray
    texture: np.ndarray

    @property
    def area(self) -> int:
        """Pixels of the picture."""
        return int(
            (self.boxes[:, 2].max() - self.boxes[:, 0].min()) * (self.boxes[:, 3].max() - self.boxes[:, 1].min())
        )

    def with_room(self, count: int) -> Regions:
        """A copy that has room for `count` more."""
        return Regions(*(np.concatenate([v, np.zeros((count, *v.shape[1:]), v.dtype)]) for v in vars(self).values()))

    def join(self, i: int, j: int, new: int) -> None:
        """Let region `new` be i and j together; its histograms are the means of theirs, by pixels (eq. 4)."""
        first, second = self.pixels[i], self.pixels[j]
        self.pixels[new] = first + second
        np.minimum(self.boxes[i, :2], self.boxes[j, :2], out=self.boxes[new, :2])
        np.maximum(self.boxes[i, 2:], self.boxes[j, 2:], out=self.boxes[new, 2:])
        for values in (self.colour, self.texture):
            values[new] = (first * values[i] + second * values[j]) / (first + second)


@part
class SelectiveSearch:
    """The boxes of a picture that may hold an object, those that rather do first.

    spaces: of colour; scales: k of its segments. Those of each pair are joined by all similarities, and without
    colour's. longest: pixels of the long side that a larger picture is scaled to. most: boxes. smallest: a box's
    shorter side, in pixels of the picture. distinct: the IoU with an earlier box above which one is left out. seed: of
    the numbers by which a hierarchy's boxes are ranked (section 3.4): chance times the steps that were still to go.
    """

    @checked
    def __init__(
        self,
        spaces: Sequence[Space] = ("hsv", "lab"),
        scales: Sequence[Positive] = (50.0, 100.0),
        longest: Count = 480,
        most: Count = 2000,
        smallest: Count = 8,
        distinct: Share = 0.85,
        seed: Seed = 0,
    ) -> None:
        self.spaces, self.scales = tuple(spaces), tuple(map(float, scales))
        self.longest, self.most, self.smallest, self.distinct, self.seed = longest, most, smallest, distinct, seed

    def __repr__(self) -> str:
        """With all that its boxes hang on, the versions of the libraries too."""
        return f"SelectiveSearch({vars(self)}, version {VERSION}, numpy {np.__version__}, scipy {scipy.__version__})"

    def __call__(self, picture: Tensor) -> Tensor:
        """Boxes xyxy, int16 (N, 4), in pixels of a picture, uint8 (1 or 3, H, W); the same for the same picture."""
        height, width = picture.shape[-2:]
        scaled = _fitted(picture.expand(3, -1, -1), self.longest)
        found, ranks = [], []
        for number, boxes in enumerate(hierarchies(scaled, self.spaces, self.scales)):
            chance = uniform(mix_tensor(mix(self.seed, number), torch.arange(len(boxes))), 0).numpy()
            found.append(boxes)
            ranks.append(chance * np.arange(len(boxes), 0, -1))
        factors = np.tile([width / scaled.shape[2], height / scaled.shape[1]], 2)
        ordered = np.concatenate(found)[np.argsort(np.concatenate(ranks), kind="stable")] * factors
        return self._chosen(torch.from_numpy(np.rint(ordered).astype(np.int16)), min(self.smallest, height, width))

    def _chosen(self, boxes: Tensor, smallest: int) -> Tensor:
        """The first of those that are large enough and unlike those before them."""
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).amin(1) >= smallest]
        order = torch.arange(len(boxes), 0, -1, dtype=torch.float32)
        return boxes[nms(boxes.float(), order, self.distinct)[: self.most]]


def _fitted(picture: Tensor, longest: int) -> np.ndarray:
    """The picture, uint8 (3, H, W), with a long side of at most `longest` pixels."""
    height, width = picture.shape[-2:]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture.numpy()
    size = [max(round(side * factor), 1) for side in (height, width)]
    smaller = interpolate(picture[None].float(), size, mode="bilinear", antialias=True)[0]
    return smaller.round().clamp(0, 255).to(torch.uint8).numpy()


def hierarchies(picture: np.ndarray, spaces: Sequence[Space], scales: Sequence[float]) -> Iterator[np.ndarray]:
    """The boxes of each hierarchy, int64 (2R - 1, 4) of R segments; the last is the whole picture's.

    picture: uint8 (3, H, W).
    """
    for space in spaces:
        values = planes(picture, space)
        coded = codes(values)
        for labels in segments(values, scales, round(min(scales))):
            regions, pairs = described(labels, *coded), neighbours(labels)
            for parts in SIMILARITIES:
                yield grouped(regions, pairs, parts)


def codes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each value, int64 (C, P), and of each derivative, int64 (8 C, P). values: (C, H, W) in [0, 255].

    Texture: Gaussian derivatives of width 1 in eight directions, of which the negative ones count as none.
    """
    by_colour = np.minimum(values * (COLOURS / 256), COLOURS - 1).astype(np.int64)
    angles = np.arange(ORIENTATIONS) * (2 * np.pi / ORIENTATIONS)
    slopes = [[gaussian_filter(v, 1, order) for order in ((0, 1), (1, 0))] for v in values]
    steep = np.stack([np.cos(t) * x + np.sin(t) * y for x, y in slopes for t in angles]).clip(0)
    top = steep.max() or 1.0
    by_texture = np.minimum(steep * (RESPONSES / top), RESPONSES - 1).astype(np.int64)
    return by_colour.reshape(len(values), -1), by_texture.reshape(len(steep), -1)


def described(labels: np.ndarray, by_colour: np.ndarray, by_texture: np.ndarray) -> Regions:
    """The regions of labels (H, W) from 0, whose pixels have these bins."""
    flat, count = labels.ravel(), int(labels.max()) + 1
    y, x = np.divmod(np.arange(flat.size), labels.shape[1])
    boxes = np.zeros((count, 4), np.int64)
    boxes[:, :2] = labels.size
    np.minimum.at(boxes[:, 0], flat, x)
    np.minimum.at(boxes[:, 1], flat, y)
    np.maximum.at(boxes[:, 2], flat, x + 1)
    np.maximum.at(boxes[:, 3], flat, y + 1)
    histograms = _histogram(flat, by_colour, COLOURS, count), _histogram(flat, by_texture, RESPONSES, count)
    return Regions(np.bincount(flat, minlength=count), boxes, *histograms)


def _histogram(labels: np.ndarray, bins: np.ndarray, number: int, count: int) -> np.ndarray:
    """(count, K * number), each row of sum 1, of K bins of each pixel, (K, P)."""
    kinds = len(bins)
    where = labels * (kinds * number) + np.arange(0, kinds * number, number)[:, None] + bins
    found = np.bincount(where.ravel(), minlength=count * kinds * number).reshape(count, -1)
    shares: np.ndarray = found / found.sum(1, keepdims=True)
    return shares


def neighbours(labels: np.ndarray) -> np.ndarray:
    """The pairs of regions that touch, (P, 2), the smaller number first."""
    beside = np.concatenate(
        [
            np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], 1),
            np.stack([labels[:-1].ravel(), labels[1:].ravel()], 1),
        ]
    )
    beside = np.sort(beside[beside[:, 0] != beside[:, 1]], 1)
    return np.unique(beside, axis=0)


def similarities(regions: Regions, i: np.ndarray, j: np.ndarray | int, area: int) -> dict[str, np.ndarray]:
    """Colour, texture, size and fill (eqs. 2 to 6), each in [0, 1], of each pair (P,). area: the picture's."""
    both = regions.pixels[i] + regions.pixels[j]
    low = np.minimum(regions.boxes[i, :2], regions.boxes[j, :2])
    high = np.maximum(regions.boxes[i, 2:], regions.boxes[j, 2:])
    return {
        "colour": np.minimum(regions.colour[i], regions.colour[j]).sum(1),
        "texture": np.minimum(regions.texture[i], regions.texture[j]).sum(1),
        "size": 1 - both / area,
        "fill": 1 - ((high - low).prod(1) - both) / area,
    }


def grouped(regions: Regions, pairs: np.ndarray, parts: Sequence[str]) -> np.ndarray:
    """The boxes of R regions and of each that two neighbours became, the most similar ones first: int64 (2R - 1, 4).

    pairs: those that touch. parts: the similarities that are added up (algorithm 1).
    """
    count, area = len(regions.pixels), regions.area
    regions = regions.with_room(count - 1)

    def alike(i: np.ndarray, j: np.ndarray | int) -> np.ndarray:
        found = similarities(regions, i, j, area)
        return np.sum([found[name] for name in parts], axis=0)  # type: ignore[no-any-return]

    first, second = pairs.T
    scores = alike(first, second)
    for new in range(count, 2 * count - 1):
        best = scores.argmax()
        i, j = int(first[best]), int(second[best])
        regions.join(i, j, new)
        rest = (first != i) & (first != j) & (second != i) & (second != j)
        beside = np.unique(np.concatenate([first[~rest], second[~rest]]))
        beside = beside[(beside != i) & (beside != j)]
        first, second = np.concatenate([first[rest], beside]), np.concatenate([second[rest], np.full(len(beside), new)])
        scores = np.concatenate([scores[rest], alike(beside, new)])
    return regions.boxes
