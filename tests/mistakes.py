"""Mistakes of a user: the command, what it finds on disk, and what the message must name. `docs/errors.md` shows all.

    python tests/mistakes.py    # writes docs/errors.md anew
"""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commands import Command, start
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
NETWORK = ("model=mlp", "model.network.hidden=[4]")
SHORT = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "test=false")
TINY = (*NETWORK, *SHORT)


@dataclass(frozen=True)
class Mistake:
    """A command and what it must say.

    command: script and options, given in a folder where `files` has put what it finds; says: what the message has.
    """

    topic: str
    what: str
    command: str
    says: Sequence[str]
    files: Callable[[Path], object] = lambda folder: None
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[int, int] = field(default_factory=dict)

    def start(self, folder: Path) -> Command:
        """The command with options that keep the run short, in `folder`."""
        script, *options = shlex.split(self.command)
        given = [o.partition("=")[0] for o in options]
        short = ()
        if script == "train":
            short = SHORT if {"model", "experiment"} & set(given) else TINY
        short = [o for o in short if o.partition("=")[0] not in given]
        env = {"CUDA_VISIBLE_DEVICES": "", **self.env}
        return start(folder / "logs", *short, *options, script=script, env=env, cwd=folder, limits=self.limits)


# --- what lies on disk


def pets(folder: Path, names: Sequence[str] = ("cat", "dog"), images: int = 8) -> Path:
    for number, name in enumerate(names):
        (folder / "pets" / name).mkdir(parents=True)
        for i in range(images):
            Image.new("RGB", (8, 8), (50 * number, i, 0)).save(folder / "pets" / name / f"{i}.png")
    return folder / "pets"


def boxes(folder: Path, line: str = "0 0.5 0.5 0.2 0.2", images: int = 8) -> Path:
    for place in ("images", "labels"):
        (folder / "boxes" / place).mkdir(parents=True)
    (folder / "boxes/data.yaml").write_text("names: [cat, dog]\n")
    for i in range(images):
        Image.new("RGB", (64, 64), (i, 0, 0)).save(folder / f"boxes/images/{i}.png")
        (folder / f"boxes/labels/{i}.txt").write_text("0 0.5 0.5 0.2 0.2\n" if i else line + "\n")
    return folder / "boxes"

