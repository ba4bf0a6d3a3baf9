"""Digit scenes: scikit-learn's handwritten digits, enlarged and strewn over noise; images with boxes and masks to learn
from without a download, and films of digits that move, with tracks.

Scene i of a split is a pure function of (seed, split, i). Training, validation and test draw from different digits.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, Seed
from lightloom.data.boxes.annotations import Target, encoded
from lightloom.data.identity import Identity
from lightloom.data.images.readers import Digits, SplitName
from lightloom.ops.rng import mix

SPLITS = ("train", "val", "test")
SIZES = (16.0, 40.0)  # of an enlarged digit's 8x8 square, in pixels
INK = 0.3  # what is fainter is paper: boxes and masks hold each pixel that a digit changes
TRIES = 30  # of a place that meets no other digit, before a scene does with one digit less


@part
class DigitScenes:
    """A reader of scenes with 1 to `max_digits` digits on `image_size` squared pixels, three channels."""

    has_masks = True

    def __init__(
        self,
        image_size: Count = 128,
        train_size: Count = 1000,
        val_size: Count = 200,
        test_size: Count = 200,
        max_digits: Count = 6,
        seed: Seed = 0,
    ) -> None:
        if image_size < SIZES[1]:
            raise UserError(
                f"data.image_size is {image_size}, but digits are up to {SIZES[1]:.0f} pixels large; "
                f"set data.image_size={SIZES[1]:.0f} or more."
            )
        self.sizes = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))
        self.image_size, self.max_digits, self.seed = image_size, max_digits, seed
        self.classes = [str(digit) for digit in range(10)]

    def read(self, split: SplitName) -> Scenes | None:
        count = self.sizes[split]
        return Scenes(self.seed, split, count, self.image_size, self.max_digits) if count else None


class Scenes:
    """The scenes of a split, each drawn when it is first asked for and then kept."""

    has_masks, labelled = True, True

    def __init__(self, seed: int, split: SplitName, count: int, image_size: int, max_digits: int) -> None:
        self.split, self.seed, self.image_size, self.max_digits = split, seed, image_size, max_digits
        self.numbers = torch.arange(count)
        self.drawn: dict[int, Scene] = {}

    @property
    def names(self) -> list[str]:
        return [f"{self.split}_{i}" for i in self.numbers.tolist()]

    def identity(self) -> Identity:
        """The names, which with the configuration decide all."""
        return Identity("names of images", encoded(self.names))

    def pick(self, indices: Tensor) -> Scenes:
        """The scenes at these indices, int64 (N,)."""
        picked = copy.copy(self)
        picked.numbers = self.numbers[indices]
        return picked

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        """The image, uint8 (3, H, W), and its target."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(self.numbers[index])
        if number not in self.drawn:
            key = mix(self.seed, SPLITS.index(self.split), number)
            self.drawn[number] = draw_scene(key, *digits(self.split), self.image_size, self.max_digits)
        scene = self.drawn[number]
        count = len(scene.labels)
        masks = (scene.instances == torch.arange(1, count + 1, dtype=torch.uint8)[:, None, None]).to(torch.uint8)
        return scene.image, {
            "boxes": scene.boxes.clone(),
            "labels": scene.labels.clone(),
            "image_id": torch.tensor(number),
            "area": masks.flatten(1).sum(1).float(),
            "iscrowd": torch.zeros(count, dtype=torch.int64),
            "masks": masks,
        }


@dataclass(frozen=True)
class Scene:
    """image uint8 (3, S, S); boxes (N, 4) xyxy; labels (N,) from 1; instances uint8 (S, S), 0 or the digit's number."""

    image: Tensor
    boxes: Tensor
    labels: Tensor
    instances: Tensor


@dataclass(frozen=True)
class Film:
    """Moving digits: frames uint8 (T, 3, S, S); boxes (T, N, 4) xyxy, exact to a fraction of a pixel; labels (N,) from
    1. Digit n is track n in all frames; where digits meet, the later one hides the earlier, whose box stays whole.
    """

    frames: Tensor
    boxes: Tensor
    labels: Tensor


@cache
def digits(split: SplitName) -> tuple[np.ndarray, np.ndarray]:
    """The digits that a split draws from, (N, 8, 8) in [0, 1], with their classes from 0; no digit is in two splits."""
    found = Digits().read("test" if split == "test" else "train")
    assert found is not None
    assert found.images is not None
    assert found.labels is not None
    chosen = torch.full((len(found),), split != "val")
    if split != "test":
        chosen[found.labels.argsort(stable=True)[::5]] = split == "val"
    return found.images[chosen, 0].numpy().astype(np.float32) / 255, found.labels[chosen].numpy()


def draw_scene(key: int, shapes: np.ndarray, classes: np.ndarray, size: int, max_digits: int) -> Scene:
    """One scene, a pure function of its arguments. shapes: (N, 8, 8) in [0, 1]; classes: (N,) from 0."""
    rng = np.random.default_rng(key)
    canvas, instances = _paper(rng, size), np.zeros((size, size), np.uint8)
    boxes: list[list[int]] = []
    labels: list[int] = []
    for _ in range(int(rng.integers(1, max_digits + 1))):
        chosen, side = int(rng.integers(len(shapes))), rng.uniform(*SIZES)
        colour = rng.uniform(0.6, 1, 3).astype(np.float32)
        ink = _enlarged(shapes[chosen], side)
        for place in rng.integers(0, size - np.array(ink.shape) + 1, (TRIES, 2)):
            window = tuple(slice(p, p + s) for p, s in zip(place, ink.shape, strict=True))
            if not (instances[window].astype(bool) & (ink > 0)).any():
                instances[window][ink > 0] = len(boxes) + 1
                _blend(canvas[window], ink, colour)
                boxes.append([place[1], place[0], place[1] + ink.shape[1], place[0] + ink.shape[0]])
                labels.append(int(classes[chosen]) + 1)
                break
    return Scene(
        _picture(canvas, rng), torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels), torch.tensor(instances)
    )


def draw_film(
    seed: int, frames: int, size: int = 128, count: int = 4, speed: float = 2.0, split: SplitName = "test"
) -> Film:
    """Digits that cross the canvas and bounce off its borders. speed: the mean one, in pixels per frame."""
    rng = np.random.default_rng(mix(seed, len(SPLITS), SPLITS.index(split)))
    shapes, classes = digits(split)
    chosen = rng.integers(len(shapes), size=count)
    inks = [_enlarged(shapes[i], side) for i, side in zip(chosen, rng.uniform(*SIZES, count), strict=True)]
    colours = rng.uniform(0.6, 1, (count, 3)).astype(np.float32)
    extents = np.array([ink.shape for ink in inks])
    angles = rng.uniform(0, 2 * np.pi, count)
    velocities = speed * rng.uniform(0.5, 1.5, (count, 1)) * np.stack([np.sin(angles), np.cos(angles)], 1)
    starts = rng.uniform(0, 1, (count, 2)) * (size - extents)
    corners = _bounced(starts + velocities * np.arange(frames)[:, None, None], size - extents)  # (T, N, 2), y and x
    paper = _paper(rng, size)
    pictures = []
    for places in corners:
        canvas = paper.copy()
        for ink, colour, (y, x) in zip(inks, colours, places, strict=True):
            _blend(canvas, _shifted(ink, y, x, size), colour)
        pictures.append(_picture(canvas, rng))
    boxes = np.concatenate([corners, corners + extents], 2)[..., [1, 0, 3, 2]]
    labels = torch.from_numpy(classes[chosen]) + 1
    return Film(torch.stack(pictures), torch.from_numpy(boxes.astype(np.float32)), labels)


def _paper(rng: np.random.Generator, size: int) -> np.ndarray:
    """A dark canvas of one random colour, (S, S, 3) in [0, 1]."""
    return np.broadcast_to(rng.uniform(0, 0.35, 3).astype(np.float32), (size, size, 3)).copy()


def _picture(canvas: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The canvas under a camera's noise, uint8 (3, S, S)."""
    noisy = canvas + 0.06 * rng.standard_normal(canvas.shape, dtype=np.float32)
    return torch.from_numpy(np.rint(255 * noisy.clip(0, 1)).astype(np.uint8)).permute(2, 0, 1).contiguous()


def _enlarged(shape: np.ndarray, side: float) -> np.ndarray:
    """A digit at `side` squared pixels, cut to its ink: (h, w) in [0, 1], 0 where there is none."""
    pixels = round(side)
    ink = np.asarray(Image.fromarray(shape).resize((pixels, pixels), Image.Resampling.BICUBIC)).clip(0, 1)
    ink = np.where(ink < INK, 0, ink)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _shifted(ink: np.ndarray, y: float, x: float, size: int) -> np.ndarray:
    """The ink with its corner at (y, x), between pixels too (bilinear), on an empty canvas."""
    top, left = int(np.floor(y)), int(np.floor(x))
    padded = np.pad(ink, 1)
    dy, dx = y - top, x - left
    rows = (1 - dy) * padded[1:] + dy * padded[:-1]
    moved = (1 - dx) * rows[:, 1:] + dx * rows[:, :-1]
    canvas = np.zeros((size + 1, size + 1), np.float32)
    canvas[top : top + moved.shape[0], left : left + moved.shape[1]] = moved
    return canvas[:size, :size]


def _blend(window: np.ndarray, ink: np.ndarray, colour: np.ndarray) -> None:
    window += ink[..., None] * (colour - window)


def _bounced(places: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Straight paths folded into [0, limit], as a ball between walls goes."""
    limits = np.maximum(limits, 1e-6)
    folded = np.mod(places, 2 * limits)
    return np.minimum(folded, 2 * limits - folded)
