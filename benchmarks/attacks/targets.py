"""Names of objects in files: in checkpoints and exported files, as options of parts, and among recorded options."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pkgutil
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from attacks.watch import ADDRESS, Baits, Case
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors.torch import save_file

from lightloom.config import compose
from lightloom.config.foreign import as_config
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint, evaluate, trust
from lightloom.engine.recorded import check_recorded
from lightloom.exporting.formats import load_safetensors
from lightloom.predict import loading

CHECKPOINTS = sorted((Path(__file__).parents[2] / "tests/old_checkpoints").glob("*.ckpt"))
# Whose objects are drawn, whatever is reached through them too (torch.os.system).
MODULES = [
    "builtins",
    "codecs",
    "ctypes",
    "importlib",
    "io",
    "json",
    "logging.config",
    "marshal",
    "os",
    "pathlib",
    "pickle",
    "pydoc",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "timeit",
    "urllib.request",
    "webbrowser",
    "zipfile",
    "joblib",
    "numpy",
    "yaml",
    "PIL.Image",
    "safetensors.torch",
    "onnx",
    "optuna",
    "hydra.utils",
    "omegaconf",
    "torch",
    "torch.hub",
    "torch.jit",
    "torch.nn",
    "torch.utils.data",
    "torch.utils.cpp_extension",
    "torch.distributed",
    "torch.package",
    "torchvision.datasets",
    "torchvision.datasets.utils",
    "torchvision.io",
    "torchvision.models",
    "timm",
    "timm.data",
    "timm.models",
    "timm.layers",
    "torchmetrics",
    "pytorch_lightning",
    "pytorch_lightning.loggers",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.utilities",
    "lightloom.cli.launch",
    "lightloom.core.download",
    "lightloom.config.instantiate",
    "lightloom.core.run_dir",
    "lightloom.engine.train",
    "lightloom.engine.checkpoint",
    "lightloom.integrations.bolts",
    "lightloom.integrations.trackers",
    "lightloom.networks.library",
    "lightloom.metrics.extractors",
    "lightloom.predict.loading",
    "lightloom.sweeps.launchers",
]
PARTS = ("callbacks", "model", "data", "monitor", "trainer", "logger")  # of a checkpoint's configuration


@cache
def pool() -> tuple[str, ...]:
    """Dotted names of all that can be called: of the modules, of modules in them, and methods of their classes."""
    found: set[str] = set()
    for name in MODULES:
        module = importlib.import_module(name)
        for key, one in list(vars(module).items()):  # it may load more when it is looked at
            if isinstance(one, ModuleType):
                found |= {f"{name}.{key}.{k}" for k, inner in list(vars(one).items()) if callable(inner)}
            elif callable(one):
                found.add(f"{name}.{key}")
                found |= {
                    f"{name}.{key}.{k}"
                    for k in getattr(one, "__dict__", ())
                    if isinstance(one, type) and not k.startswith("__")
                }
    return tuple(sorted(found))


def node(target: str, baits: Baits, draw: random.Random) -> dict[str, Any]:
    """A mapping that has the object called with baits."""
    options: dict[str, Any] = {"_target_": target}
    try:
        taken = inspect.signature(trust.import_target(target)).parameters.values()
        named = [p.name for p in taken if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
    except Exception:  # it does not say what it takes
        named = []
    if named and draw.random() < 0.7:
        options.update({name: draw.choice(baits.all()) for name in named[: draw.randint(1, 3)]})
    else:
        options["_args_"] = [draw.choice(baits.all()) for _ in range(draw.randint(1, 2))]
    if draw.random() < 0.2:
        options["_partial_"] = True
    return options


# --- checkpoints


@cache
def whole(path: Path) -> dict[str, Any]:
    """A checkpoint of a family, as it is written today."""
    content = checkpoint.load(path)
    record = {"config": content["config"], "data": content["data_state"]}
    return {"state_dict": content["state_dict"], "global_step": content["global_step"], "lightloom": record}


def plant(config: dict[str, Any], evil: Any, draw: random.Random) -> str:
    """Put something somewhere into a configuration; returns where."""
    where = draw.choice([part for part in PARTS if isinstance(config.get(part), dict)])
    at, here = where, config[where]
    while draw.random() < 0.6:
        inner = [key for key, value in here.items() if isinstance(value, dict)]
        if not inner:
            break
        key = draw.choice(inner)
        at, here = f"{at}.{key}", here[key]
    way = draw.randrange(5)
    if way == 0 and "_target_" in here:
        here["_target_"] = evil.get("_target_", evil) if isinstance(evil, dict) else evil
    elif way == 1:
        here["_args_"] = [evil]
    elif way == 2:
        here["extra"] = [[evil], {"deep": evil}]
    else:
        here[draw.choice(list(here)) if here and way == 3 else "background"] = evil
    return at


def use(path: Path, data: Any = None) -> Any:
    """All that the commands build of a checkpoint; raises the first refusal after all were tried.

    data: that of the command line, which takes facts over from the checkpoint.
    """
    refusals: list[UserError] = []
    made: list[Any] = []

    def tried(act: Callable[[], Any]) -> Any:
        try:
            made.append(act())
        except UserError as error:
            refusals.append(error)
            return None
        return made[-1]

    asked = {"ckpt_path": str(path), "trust": [], "split": "test", "batch_size": None, "num_workers": 0}
    paths = {"output_dir": str(path.parent / "out"), "data_dir": str(path.parent), "log_dir": str(path.parent / "logs")}
    cfg = OmegaConf.create({**asked, "paths": paths})
    restored = tried(lambda: evaluate.restore(cfg))
    trained = restored[0] if restored else tried(lambda: checkpoint.config_of(checkpoint.load(path), path))
    if trained is not None:
        callbacks = trained.get("callbacks") or {}
        for name in list(callbacks):
            alone = OmegaConf.create({"callbacks": {}})
            alone.callbacks[name] = callbacks[name]
            tried(lambda alone=alone: list(evaluate.test_callbacks(cfg, alone)))
        tried(lambda: evaluate.test_data(cfg, trained))
        if data is not None:
            tried(lambda: evaluate.test_data(OmegaConf.merge(cfg, {"data": as_config(data)}), trained))
    tried(lambda: loading.load(path))
    if refusals:
        raise refusals[0]
    return [type(one).__name__ for one in made]


def checkpoints(baits: Baits, count: int, draw: random.Random) -> Iterator[Case]:
    """An object drawn from everything importable, somewhere in the configuration of a real checkpoint."""
    for i in range(count):
        source = draw.choice(CHECKPOINTS)
        content = copy.deepcopy(whole(source))
        evil = node(draw.choice(pool()), baits, draw)
        at = plant(content["lightloom"]["config"], evil, draw)
        path = baits.folder.parent / f"evil-{i}.ckpt"
        torch.save(content, path)
        data = whole(source)["lightloom"]["config"]["data"] if at.startswith("data") else None
        yield Case(f"{source.stem}, at {at}: {evil}", lambda path=path, data=data: use(path, data))
        path.unlink()


def trees(baits: Baits, count: int, draw: random.Random) -> Iterator[Case]:
    """Configurations that are none: of other types, cyclic, hundreds of levels deep, with parts cut out."""
    for i in range(count):
        content = copy.deepcopy(whole(draw.choice(CHECKPOINTS)))
        config = content["lightloom"]["config"]
        deep: Any = {}
        for _ in range(200):
            deep = {"a": deep}
        cycle: dict[str, Any] = {}
        cycle["self"] = cycle
        strange = [None, 3, -1.5, True, "", "${oc.env:LIGHTLOOM_ATTACK}", "???", [], {}, [[]], 10**30, b"bytes"]
        strange += [torch.zeros(2), {1: {"_target_": ""}}, deep, cycle, {"_target_": 3}, {"_target_": {}}]
        strange += [{"_target_": "torch.nn"}, {"_target_": "torch.nn.Identity", "_recursive_": "x"}]
        strange += [{"_target_": "torch.nn.Linear", "_convert_": 3}, {"_target_": "torch.nn.Identity", "_args_": 3}]
        evil = draw.choice(strange)
        way = draw.randrange(4)
        if way == 0:
            at = draw.choice(list(config))
            config[at] = evil
        elif way == 1:
            at = draw.choice([part for part in PARTS if isinstance(config.get(part), dict)])
            del config[at]
        elif way == 2:
            at = draw.choice(["lightloom", "state_dict", "global_step"])
            content[at] = evil
        else:
            at = plant(config, evil, draw)
        path = baits.folder.parent / f"tree-{i}.ckpt"
        torch.save(content, path)
        yield Case(f"{str(evil)[:80]} at {at}, way {way}", lambda path=path: use(path))
        path.unlink()


def exports(baits: Baits, count: int, draw: random.Random) -> Iterator[Case]:
    """The same objects in the header of an exported file."""
    for i in range(count):
        content = whole(draw.choice(CHECKPOINTS))
        config = {"model": copy.deepcopy(content["lightloom"]["config"]["model"])}
        evil = node(draw.choice(pool()), baits, draw)
        at = plant(config, evil, draw)
        path = baits.folder.parent / f"evil-{i}.safetensors"
        state = {name: x.contiguous() for name, x in content["state_dict"].items()}
        save_file(state, path, metadata={"model": json.dumps(config["model"])})
        yield Case(f"at {at}: {evil}", lambda path=path: load_safetensors(path))
        path.unlink()


# --- what the gate lets through


@cache
def admitted_parts() -> tuple[str, ...]:
    """All that a file may have built, of lightloom and of the libraries, by its name."""
    found: set[str] = set()
    for place in trust.BASES:
        module = importlib.import_module(place.rstrip("."))
        inner = pkgutil.walk_packages(module.__path__, place, onerror=lambda _: None)
        for name in [module.__name__, *(info.name for info in inner)]:
            if any(part.startswith("_") for part in name.split(".")):
                continue
            try:
                members = vars(importlib.import_module(name))
            except Exception:  # it needs a library that is not here
                continue
            found |= {f"{name}.{key}" for key, one in members.items() if trust.is_part(one) and not key.startswith("_")}
    return tuple(sorted(found))


def parts(baits: Baits, count: int, draw: random.Random) -> Iterator[Case]:
    """A part that may be built, with a path, an address, a module's name, a command or code for each of its options."""
    ours = [name for name in admitted_parts() if name.startswith("lightloom.")]
    for _ in range(count):
        target = draw.choice(ours if draw.random() < 0.5 else admitted_parts())
        taken = trust.parameters(trust.import_target(target))
        options: dict[str, Any] = {}
        for name, p in taken.items():
            words = str(p.annotation)
            if "str" in words or "Path" in words or trust.OUTSIDE.search(name) or draw.random() < 0.1:
                options[name] = draw.choice(baits.all())
            elif p.default is p.empty:
                options[name] = 4 if "int" in words else 0.5 if "float" in words else None
        if draw.random() < 0.3:
            options[draw.choice(["checkpoint_path", "pretrained_cfg", "cache_dir", "url", "weights"])] = ADDRESS
        evil = {"_target_": target, **options}
        make = as_config(evil)
        yield Case(str(evil), lambda make=make: trust.build_trusted(make, "model", "evil.ckpt"), target in ours)


# --- recorded options


KEYS = (
    *("+logger.zz", "+callbacks.zz", "callbacks.confusion_matrix.background", "model.network", "model.optimizer"),
    *("data.reader", "+data.transform", "model.scheduler", "+trainer.plugins", "trainer.profiler"),
    *("+model.network.extra", "trainer.strategy"),
)


def recorded(baits: Baits, count: int, draw: random.Random) -> Iterator[Case]:
    """An object among the options of somebody's run folder, in one line or several, by all that Hydra's grammar has."""
    for _ in range(count):
        key, evil = draw.choice(KEYS), node(draw.choice(pool()), baits, draw)
        target = evil["_target_"]
        lines = draw.choice(
            [
                [f"{key}={written(evil)}"],
                [f"{key}._target_={target}"] if not key.startswith("+") else [f"{key}={{_target_: {target}}}"],
                [f"{key}={{inner: [{written(evil)}]}}"],
                [f"run_name={target}", f"{key}={{_target_: '${{run_name}}'}}"],
                [f"+hydra.callbacks.zz={written(evil)}"],
                [f"{key}={{_target_: '${{oc.decode:{target}}}', x: '${{oc.env:LIGHTLOOM_ATTACK}}'}}"],
                [f"hydra.searchpath=[file://{baits.folder}]", "model=bait"],
            ]
        )
        yield Case(" ".join(lines), lambda lines=lines: begin(["model=lenet", *lines]))


def written(value: Any) -> str:
    """A value in the grammar of the command line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return "'" + value.replace("'", "\\'") + "'" if isinstance(value, str) else str(value).lower()


def begin(lines: list[str]) -> Any:
    """What train.py makes of a run folder's options: judged, composed, and its objects built."""
    try:
        kept = check_recorded(lines, [], "train", None, "overrides.txt")
        cfg = compose.without_hydra(compose.compose("train", compose.check("train", kept)))
    except (HydraException, OmegaConfBaseException) as error:  # as `cli.launch.prepared` has it
        raise UserError(compose.brief(error)) from error
    groups = {**(cfg.get("logger") or {}), **(cfg.get("callbacks") or {}), "model": cfg.model}
    return [type(build(one, name)).__name__ for name, one in groups.items() if one]


KINDS = {
    "objects in checkpoints": checkpoints,
    "broken trees in checkpoints": trees,
    "objects in exported files": exports,
    "options of parts that may be built": parts,
    "recorded options": recorded,
}
