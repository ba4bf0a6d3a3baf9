"""Killed at any of its writes and repeated, a command leaves what one that was not killed leaves.

So whatever says that the work is done is written last: results.json of a run, index.json of shards.
"""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from attacks.folders import built, whole, write
from attacks.watch import Baits, Case
from omegaconf import DictConfig

from lightloom.config import compose as config
from lightloom.core.run_dir import figures
from lightloom.data.shards.conversion import convert

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
import killed

QUICK = 0  # tests/engine/test_done_mark.py
LAST = "checkpoints/last.ckpt"
HERE = frozenset({"subprocess.Popen"})  # git is asked what is run
SHORT = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1")
SHORT += (
    "trainer.limit_test_batches=1",
    "preflight=false",
    "logger=csv",
    "data.batch_size=8",
    "callbacks.console=null",
)
RUNS = {
    "classifier": ("model=mlp", "data=digits", "callbacks=ema"),
    "generator": ("model=gan", "data=digits", "callbacks.quality.val_samples=20", "test=false",
                  "+model.generator.hidden=8", "+model.discriminator.units=8"),
    "autoencoder": ("model=autoencoder", "data=digits"),
    "segmenter": ("model=unet", "data=river_scenes", "model.network.width=4", "data.image_size=32",
                  "data.reader.train_size=8", "data.reader.val_size=4", "data.reader.test_size=4"),
}  # fmt: skip
SHARDED = ("image_folder", "coco", "masks", "text_lines")


@cache
def composed(name: str) -> DictConfig:
    given = [*RUNS[name], *SHORT, "paths.output_dir=RUN"]
    return config.without_hydra(config.compose("train", config.check("train", given)))


def train(name: str, folder: Path, fatal: str = "") -> list[str]:
    """The files that the command wrote before it was killed, or all."""
    from omegaconf import OmegaConf

    import train as script

    text = OmegaConf.to_yaml(composed(name)).replace("RUN/", f"{folder}/").replace(": RUN\n", f": {folder}\n")
    cfg = OmegaConf.create(text)
    OmegaConf.resolve(cfg)
    cfg.overrides = list(RUNS[name])
    with contextlib.redirect_stdout(io.StringIO()):
        return killed.killed(lambda: script.train(cfg), folder, fatal, LAST)


def shards(name: str, folder: Path, fatal: str = "") -> list[str]:
    """The same of a data set that is written as shards."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "data")
        write(root, whole(name))
        return killed.killed(lambda: convert(built(name, root), folder, 4, 1 << 20), folder, fatal)


WORK: dict[str, tuple[Callable[..., list[str]], str]] = {
    **{f"run: {name}": (partial(train, name), "results.json") for name in RUNS},
    **{f"shards: {name}": (partial(shards, name), "index.json") for name in SHARDED},
}


@cache
def undisturbed(name: str) -> tuple[tempfile.TemporaryDirectory[str], list[str]]:
    """A folder in which the work was done, and the files after whose first writing a kill is tried."""
    held = tempfile.TemporaryDirectory()
    act, mark = WORK[name]
    writes = act(Path(held.name, "out"))
    assert writes[-1] == mark, f"{name}: {writes[-1]} is written after {mark}"
    first = len(writes) - writes[::-1].index(LAST) if LAST in writes else 0
    return held, [one for one in dict.fromkeys(writes[first:]) if one not in ("metrics.csv", "run.json", "run.log")]


def content(folder: Path, mark: str) -> dict[str, Any]:
    """What must be the same: the names of all files, and the figures or, of shards, the bytes."""
    names = killed.files(folder)
    if mark == "results.json":
        return {"files": names, "figures": {**figures(folder), "train_seconds": 0}}
    return {"files": names, **{name: (folder / name).read_bytes() for name in names}}


def repeated(name: str, seed: int) -> str:
    """Killed at a write, then once more; AssertionError where something is missing, or another."""
    (act, mark), (held, writes) = WORK[name], undisturbed(name)
    fatal = random.Random(seed).choice(writes)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "out")
        before = act(folder, fatal=fatal)
        assert killed.WRITES.dead, f"{fatal} was not written"
        assert not (folder / mark).exists(), f"killed before {fatal}, and {mark} is there: {before}"
        act(folder)
        found, expected = content(folder, mark), content(Path(held.name, "out"), mark)
        wrong = [key for key in expected if found.get(key) != expected[key]]
        assert not wrong, f"after {fatal}: {wrong} differ: {[(found.get(k), expected[k]) for k in wrong][:1]!s:.400}"
        return f"killed at {fatal}"


def marks(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each kind of work in turn, killed at one of its writes."""
    logging.getLogger("lightloom").setLevel(logging.ERROR)
    for i in range(count):
        name, seed = list(WORK)[i % len(WORK)], chance.randrange(1 << 32)
        yield Case(f"{name} {seed}", partial(repeated, name, seed), allowed=HERE, patience=240.0)


KINDS = {"killed at a write, and repeated": marks}
