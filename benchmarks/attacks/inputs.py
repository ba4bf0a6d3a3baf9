"""Folders of inputs to predict.py of which some are broken: the whole ones are predicted, the others are named."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from attacks.annotations import damaged_binary
from attacks.folders import png
from attacks.tasks import command, content
from attacks.watch import Baits, Case

from lightloom.core import cells
from lightloom.core.errors import UserError
from lightloom.engine import evaluate
from lightloom.predict import choose

QUICK = 6
OF_IMAGES = ("classification", "segmentation", "text_recognition", "tagging", "regression")
OF_TEXTS = ("text_classification", "translation", "language_modelling")


def predicted(task: str, folder: Path, good: int, bad: int) -> str:
    """What came of a folder of so many whole and broken images. The whole ones must be in a table."""
    checkpoint = folder.parent / f"{task}.ckpt"
    torch.save(content(task), checkpoint)
    output = folder.parent / "output"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    trained, module = evaluate.restore(command("eval", checkpoint, output))
    cfg = command("predict", checkpoint, output, input=str(folder))
    said = ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            choose.choose(cfg, trained, module).run(cfg, trained, module)
    except UserError as error:
        said = str(error)
    named = {cell for path in output.rglob("*.csv") for row in table(path) for cell in row}
    missing = [name for name in (f"good{i}" for i in range(good)) if not any(name in cell for cell in named)]
    if missing and good:
        raise AssertionError(f"no prediction for {missing}, of {good} whole and {bad} broken: {said}")
    if bad and not said and not any("bad" in cell for cell in named):
        raise AssertionError("nobody says what was left out")
    if said:
        raise UserError(said)
    return f"{good} predicted"


def table(path: Path) -> list[list[str]]:
    with cells.open_csv(path) as file:
        return list(cells.rows(file))


def images(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Whole images, and some that are cut, damaged, empty, or none."""
    for i in range(count):
        rng, task = random.Random(chance.random()), OF_IMAGES[i % len(OF_IMAGES)]
        folder = baits.folder.parent / f"inputs-{i}"
        folder.mkdir()
        good, bad = rng.randrange(1, 5), rng.randrange(1, 3)
        for number in range(good):
            (folder / f"good{number}.png").write_bytes(png(number))
        for number in range(bad):
            whole = png(number)
            (folder / f"bad{number}.png").write_bytes(rng.choice((b"", whole[: len(whole) // 2], b"text", whole[:60])))
        if rng.random() < 0.3:
            (folder / "note.txt").write_bytes(damaged_binary(png(0), rng))
        yield Case(f"{task}: {good} whole, {bad} broken", partial(predicted, task, folder, good, bad))


KINDS = {"inputs of which some are broken": images}
