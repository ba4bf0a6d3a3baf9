"""River scenes: sky, banks and a winding river with ripples and reflections, to learn segmentation from without a
download; and films of a river that rises.

Scene i of a split is a pure function of (seed, split, i).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.core.parts import part
from lightloom.core.ranges import Count, Natural, Seed, checked
from lightloom.data.identity import Identity, named_bytes
from lightloom.data.images.readers import SplitName
from lightloom.ops.rng import mix, uniform, uniforms

CLASSES = ["sky", "bank", "river"]
SPLITS = ("train", "val", "test")
BANK = ((0.22, 0.36, 0.12), (0.45, 0.40, 0.25))  # colours between which grass and sand are drawn
GRAIN = 0.035  # noise of a camera


@part
class RiverScenes:
    """A reader of scenes of `height` x `width` pixels, three channels, classes sky, bank and river."""

    @checked
    def __init__(
        self,
        height: Count = 96,
        width: Count = 128,
        train_size: Count = 400,
        val_size: Natural = 100,
        test_size: Natural = 100,
        seed: Seed = 0,
    ) -> None:
        self.sizes = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))
        self.height, self.width, self.seed = height, width, seed
        self.classes = list(CLASSES)

    def read(self, split: SplitName) -> Scenes | None:
        count = self.sizes[split]
        return Scenes(self.seed, split, torch.arange(count), self.height, self.width) if count else None


class Scenes:
    """The scenes of a split, each drawn when it is first asked for and then kept."""

    labelled = True

    def __init__(self, seed: int, split: str, numbers: Tensor, height: int, width: int) -> None:
        self.seed, self.split, self.numbers, self.height, self.width = seed, split, numbers, height, width
        self.drawn: dict[int, tuple[Tensor, Tensor]] = {}

    def identity(self) -> Identity:
        """The names, which with the configuration decide all."""
        return Identity("names of images", (named_bytes(f"{self.split}_{i}") for i in self.numbers.tolist()))

    def pick(self, indices: Tensor) -> Scenes:
        """The scenes at these indices, int64 (N,)."""
        picked = copy.copy(self)
        picked.numbers = self.numbers[indices]
        return picked

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """The image, uint8 (3, H, W), and its mask, uint8 (H, W)."""
        number = int(self.numbers[index])
        if number not in self.drawn:
            key = mix(self.seed, SPLITS.index(self.split), number)
            self.drawn[number] = draw(Landscape.of(key), self.height, self.width, key)
        return self.drawn[number]


@dataclass(frozen=True)
class Landscape:
    """What a scene is made of, each a share of the picture's height or width, or a colour (3,) in [0, 1].

    horizon: where the sky ends. bends: amplitude, frequency and phase of two waves of the river's course. near, far:
    half its width at the lower border and at the horizon. level: by which it is wider than at its lowest.
    """

    horizon: float
    bends: Tensor
    near: float
    far: float
    level: float
    sky: Tensor
    bank: Tensor
    light: float

    @classmethod
    def of(cls, key: int, level: float | None = None) -> Landscape:
        """A function of the key; the level is drawn where it is not given."""
        u = uniforms(torch.tensor([key]), 16)[0]
        bends = torch.stack([u[1:3] * torch.tensor([0.18, 0.08]), 1 + 3 * u[3:5], 6.28 * u[5:7]])
        grass, sand = torch.tensor(BANK)
        grey = 0.55 + 0.35 * u[8]
        return cls(
            horizon=float(0.2 + 0.25 * u[0]),
            bends=bends,
            near=float(0.16 + 0.14 * u[7]),
            far=float(0.015 + 0.03 * u[9]),
            level=float(u[10]) if level is None else level,
            sky=torch.stack([grey * (0.65 + 0.3 * u[11]), grey * 0.92, grey]),
            bank=grass + (sand - grass) * u[12],
            light=float(0.75 + 0.35 * u[13]),
        )


def draw(land: Landscape, height: int, width: int, key: int, moment: float = 0.0) -> tuple[Tensor, Tensor]:
    """The image, uint8 (3, height, width), and its mask, uint8 (height, width). moment: seconds, which move ripples."""
    y = (torch.arange(height)[:, None] + 0.5) / height
    x = (torch.arange(width)[None] + 0.5) / width
    below = ((y - land.horizon) / (1 - land.horizon)).clamp(min=0)
    mask = torch.where(y < land.horizon + _hills(land, x), 0, 1)
    is_river = ((x - _course(land, below)).abs() < _half_width(land, below)) & (below > 0.02)
    mask = torch.where(is_river, 2, mask).to(torch.uint8)
    sky = land.sky[:, None, None] * (1.05 - 0.35 * y + 0.1 * noise(key, 0, height, width, 6))
    bank = land.bank[:, None, None] * (0.75 + 0.5 * noise(key, 1, height, width, 24) + 0.2 * below)
    river = _water(land, sky, bank, below, key, moment)
    layers = torch.stack([sky.expand(3, height, width), bank.expand(3, height, width), river])
    image = layers.gather(0, mask.long()[None, None].expand(1, 3, -1, -1))[0] * land.light
    grain = noise(mix(key, int(moment * 1000)), 3, height, width, max(height, width)) - 0.5
    return (image + 2 * GRAIN * grain).clamp(0, 1).mul(255).round().byte(), mask


def _hills(land: Landscape, x: Tensor) -> Tensor:
    """How far the horizon lies below its line, (1, W)."""
    amplitude, frequency, phase = land.bends
    return 0.12 * amplitude.sum() * (2 * frequency[0] * x + phase[1]).sin() + 0.02 * (9 * x + phase[0]).sin()


def _course(land: Landscape, below: Tensor) -> Tensor:
    """The middle of the river at each row, (H, 1): bends that are small where they are far."""
    amplitude, frequency, phase = land.bends
    waves = (amplitude * (3.14 * frequency * below[..., None].sqrt() + phase).sin()).sum(-1)
    return 0.5 + waves * (0.35 + below)


def _half_width(land: Landscape, below: Tensor) -> Tensor:
    return (land.far + (land.near - land.far) * below) * (1 + 0.6 * land.level)


def _water(land: Landscape, sky: Tensor, bank: Tensor, below: Tensor, key: int, moment: float) -> Tensor:
    """The sky and, near the far bank, the bank, mirrored and broken by ripples; (3, H, W)."""
    height, width = sky.shape[-2], bank.shape[-1]
    mirrored = sky.expand(3, height, width).flip(1)
    shore = (1 - 3 * below).clamp(0, 0.7) * (noise(key, 2, height, width, 10) > 0.45)
    water = mirrored * (1 - shore) + 0.8 * bank * shore
    rows = torch.arange(height)[:, None] / height
    ripples = (90 * below.sqrt() + 40 * rows - 5 * moment + 6 * noise(key, 4, height, width, 8)).sin()
    tint = torch.tensor([0.78, 0.86, 0.88])[:, None, None]
    return water * tint * (0.92 + 0.08 * ripples)


def noise(key: int, stream: int, height: int, width: int, cells: int) -> Tensor:
    """Smooth noise in [0, 1], (height, width), of about `cells` cells along the longer side."""
    rows, columns = (max(2, round(cells * side / max(height, width))) for side in (height, width))
    keys = torch.arange(rows * columns) * 2 + (mix(key, stream) >> 1)
    coarse = uniform(keys, stream).view(1, 1, rows, columns)
    return interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[0, 0]


def film(seed: int, frames: int, height: int = 96, width: int = 128, rate: float = 10.0) -> list[tuple[Tensor, Tensor]]:
    """A river that rises from its lowest to its highest level, frame by frame as `draw` gives them."""
    key = mix(seed, len(SPLITS))
    moments = [(i / rate, i / max(frames - 1, 1)) for i in range(frames)]
    return [draw(Landscape.of(key, level), height, width, key, moment) for moment, level in moments]
