"""Every pair of documented options: a few runs of three steps in which each value of one meets each value of another.

`python tests/support/pairs.py` writes docs/option-pairs.md: each run, and what became of it.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from lightloom.config import compose as config
from lightloom.config.rules import RULES
from lightloom.config.values import OneOf
from lightloom.core.errors import message_of
from lightloom.data.images import readers
from lightloom.engine import train
from lightloom.engine.resume import Start

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "option-pairs.md"
STEPS = 3
BASE = ("model=mlp", "trainer=cpu", "logger=csv", "data.batch_size=8", "data.augment.crop_padding=0")
BASE += (f"trainer.max_steps={STEPS}", "trainer.limit_train_batches=4", "trainer.limit_val_batches=1")
OFF = ("constant",)  # of a group, what comes first: no schedule to speak of
EARLY = "callbacks=early_stopping"
UNVALIDATED = "trainer.limit_val_batches=0"
REFUSED = ({UNVALIDATED, EARLY}, {UNVALIDATED, "scheduler@model.scheduler=plateau"})  # pairs that cannot be


def files(group: str) -> list[str]:
    """The names of a group of configs/, what changes nothing first; those of lightning-bolts are tested with it."""
    names = sorted(path.stem for path in (ROOT / "configs" / group).glob("*.yaml"))
    return sorted((name for name in names if not name.startswith("bolts")), key=lambda name: name not in OFF)


def augmentations() -> list[str]:
    """Each number of `data.augment` that is off, switched on."""
    base = OmegaConf.load(ROOT / "configs/data/base/image.yaml").augment
    on = {"crop_padding": "2", "flip": "true", "cutout": "4"}
    off = [str(name) for name, value in base.items() if value in (0, 0.0, False)]
    return [f"data.augment.{name}={on.get(name, '0.2')}" for name in off]


def factors() -> dict[str, list[str]]:
    """What each option can be, as the command line has it; the first is how a run is without it."""
    return {
        "scheduler": [f"scheduler@model.scheduler={name}" for name in files("scheduler")],
        "precision": [
            f"trainer.precision={word}" for word in _words("trainer.precision") if not word.startswith("16-")
        ],
        "augmentation": ["", *augmentations()],
        "validation": [
            "",
            *("+trainer.val_check_interval=2", "+trainer.val_check_interval=0.5", "trainer.check_val_every_n_epoch=2"),
            *("+trainer.val_check_interval=00:00:00:01", UNVALIDATED),
        ],
        "end": ["", "trainer.max_time=00:00:05:00"],
        "clipping": [
            *("", "trainer.gradient_clip_val=1"),
            "trainer.gradient_clip_val=1 +trainer.gradient_clip_algorithm=value",
        ],
        "accumulation": ["", "trainer.accumulate_grad_batches=2"],
        "average": ["", "callbacks=ema"],
        "stopping": ["", EARLY],
        "compilation": ["", "model.compile=true"],
        "processes": ["", "trainer=ddp_cpu trainer.devices=1"],
        "loop": ["trainer.loop=fast", "trainer.loop=lightning"],
    }


def _words(key: str) -> Sequence[str]:
    rule = RULES[key]
    assert isinstance(rule, OneOf)
    return rule.words


Row = tuple[str, ...]
Pair = frozenset[tuple[int, str]]  # of two factors, by their place, each with a value


def pairs(row: Row) -> Iterator[Pair]:
    """The pairs of values of a row."""
    return map(frozenset, itertools.combinations(enumerate(row), 2))


def is_refused(pair: Pair) -> bool:
    return {value for _, value in pair} in REFUSED


def rows() -> list[Row]:
    """Rows, of each factor its value, in which any two factors have each pair of their values.

    Greedy, the same each time: a row begins with the first pair that is missing, and each other factor gets the value
    that brings most missing pairs, the first of several. A pair that is refused has a row of its own, with what changes
    nothing, for in that row no other pair is tried.
    """
    values = list(factors().values())
    every = [
        frozenset({(a, v), (b, w)})
        for a, b in itertools.combinations(range(len(values)), 2)
        for v, w in itertools.product(values[a], values[b])
    ]
    missing = dict.fromkeys(every)
    found = []
    while missing:
        row = dict(next(iter(missing)))
        for place in sorted(set(range(len(values))) - set(row), key=lambda place: -len(values[place])):
            row[place] = _best(place, values[place], row, missing)
        found.append(tuple(row[place] for place in range(len(values))))
        own = list(pairs(found[-1]))
        for pair in filter(is_refused, own) if any(map(is_refused, own)) else own:
            missing.pop(pair, None)
    return found


def _best(place: int, values: Sequence[str], row: Mapping[int, str], missing: Collection[Pair]) -> str:
    """The value that brings most of what is missing, and is not refused beside those of the row."""
    if any(map(is_refused, map(frozenset, itertools.combinations(row.items(), 2)))):
        return values[0]

    def gain(value: str) -> int:
        own = [frozenset({(place, value), fixed}) for fixed in row.items()]
        return -1 if any(map(is_refused, own)) else sum(pair in missing for pair in own)

    return max(values, key=gain)


# --- a run


@functools.cache
def _base(trainer: str) -> DictConfig:
    checked = config.check("train", [option if option != "trainer=cpu" else trainer for option in BASE])
    return config.without_hydra(config.compose("train", [*checked, "paths.output_dir=RUN"], None))


def options(row: Row, folder: Path) -> DictConfig:
    """The configuration of a row. Rules of single options are tested elsewhere: here they are put in as they are."""
    words = [word for value in row for word in value.split()]
    cfg = _base(next((word for word in words if word.startswith("trainer=")), "trainer=cpu")).copy()
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if key == "trainer":
            continue
        if key in ("callbacks", "scheduler@model.scheduler"):
            group, _, place = key.partition("@")
            own = OmegaConf.load(ROOT / "configs" / group / f"{value}.yaml")
            own.pop("defaults", None)
            OmegaConf.update(cfg, place or group, own, merge=place == "", force_add=True)
        else:
            OmegaConf.update(cfg, key, value if ":" in value else yaml.safe_load(value))
    text = OmegaConf.to_yaml(cfg).replace("RUN/", f"{folder}/").replace(": RUN\n", f": {folder}\n")
    resolved = OmegaConf.create(text)
    OmegaConf.resolve(resolved)
    return resolved


def outcome(row: Row, folder: Path) -> str:
    """What becomes of a run: `ran` for the steps asked for, or the one line that refuses it."""
    before = set(os.environ)
    try:
        cfg = options(row, folder)
        cfg, datamodule = train.build_data(cfg)
        module = train.build_module(cfg)
        trainer = train.build_trainer(cfg, module)
        train.fit(cfg, trainer, module, datamodule, Start())
        train.close(trainer)
    except Exception as error:
        said = message_of(error)
        if said is None or "\n" in said:
            raise
        return f"refused: {said}"
    finally:
        for name in set(os.environ) - before:  # the processes' meeting place, the checkpoint to resume from
            del os.environ[name]
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert trainer.global_step == STEPS, trainer.global_step
    assert all(torch.isfinite(p).all() for p in module.parameters())
    return "ran"


def without_inductor(patch: Callable[[object, str, object], None]) -> None:
    """Let torch.compile trace, but not call a C++ compiler, which takes ten seconds; and digits be read once."""
    patch(torch, "compile", functools.partial(torch.compile, backend="eager"))
    patch(readers, "read_digits", functools.cache(readers.read_digits))


# --- the page

INTRODUCTION = f"""\
# Options beside each other

Written by `make option-pairs`; `tests/engine/test_option_pairs.py` makes each run and compares. In these runs each
value of an option meets each value of every other one: {{count}} runs of {STEPS} steps of `model=mlp data=digits`,
instead of {{all}}. `model.compile` traces without the C++ compiler, and `trainer=ddp_cpu` is one process of its kind;
precisions of 16 bits that only a GPU has are left out. What is not named is as it is by default.

| options | outcome |
| --- | --- |
"""


def line(row: Row, said: str) -> str:
    """A run as a line of the page."""
    words = [word for value in row for word in value.split()]
    callbacks = [word.partition("=")[2] for word in words if word.startswith("callbacks=")]
    given = [word for word in words if not word.startswith("callbacks=")]
    given += [f"callbacks=[{','.join(callbacks)}]"] if callbacks else []
    return f"| `{' '.join(given)}` | {said} |"


def page() -> str:
    """docs/option-pairs.md, from making every run."""
    without_inductor(setattr)
    made = []
    for row in rows():
        with tempfile.TemporaryDirectory() as folder:
            made.append(line(row, outcome(row, Path(folder))))
    every = math.prod(len(values) for values in factors().values())
    return INTRODUCTION.format(count=len(made), all=f"{every:,}") + "\n".join(made) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
