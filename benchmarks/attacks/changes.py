"""Data that changes between a kill and the same command, and damage that only a later stage would meet.

A change that makes another batch must make another identity; whatever cannot be read is said before the first step.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attacks.folders import LAYOUTS, before_training, built, change_one, use, whole, write
from attacks.watch import Baits, Case

from lightloom.data import contract
from lightloom.engine.resume import Start, check_same_data

QUICK = 8


def read(name: str, root: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What identifies each part of a folder, and the batches of each."""
    datamodule = built(name, root)
    parts = before_training(datamodule)
    return contract.describe(datamodule), {part: list(datamodule.eval_loader(part)) for part in parts}


def is_same(one: Any, other: Any) -> bool:
    """The same numbers and texts, in whatever holds them."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        one, other = (x.to_dense() if x.layout is not torch.strided else x for x in (one, other))
        return one.shape == other.shape and bool(torch.equal(one.nan_to_num(7), other.nan_to_num(7)))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def resumed(name: str, seed: int) -> str:
    """Refused where the data is another; AssertionError where other batches are believed to be the same."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        write(root, whole(name))
        then, batches = read(name, root)
        told = change_one(root, random.Random(seed))
        now, others = read(name, root)
        check_same_data(Start(Path("last.ckpt"), {"splits": then}), root, now)
        both = batches.keys() & others.keys()  # a part that is gone is told, not refused
        same = all(is_same(batches[part], others[part]) for part in both)
        assert same, f"{told}: other data was believed to be the same"
        return told


def changed(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each layout in turn: one file changed between a run and its continuation."""
    names = list(LAYOUTS)
    for i in range(count):
        name, seed = names[i % len(names)], chance.randrange(1 << 32)
        yield Case(f"{name} {seed}", partial(resumed, name, seed))


def damaged(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each layout in turn: one file of any part damaged, which must be said before the first step."""
    names = list(LAYOUTS)
    for i in range(count):
        name, seed = names[i % len(names)], chance.randrange(1 << 32)
        change = partial(change_one, rng=random.Random(seed))
        yield Case(f"{name} {seed}", partial(use, name, change, early=True))


KINDS = {"data changed between two commands": changed, "damage that a later stage would meet": damaged}
