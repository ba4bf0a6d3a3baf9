"""Checkpoints of every task with other values in them, in eval.py and predict.py: used, or refused in one message.

The tasks of the oldest algorithms have theirs in tests/old_checkpoints; each other task of configs/task has a small
model here, and a test sees to it. What is changed: a fact of the data, the state that the data kept (a vocabulary), an
option of the model, a tensor. Then the data is built, and whatever of predict.py accepts the model predicts.
"""

from __future__ import annotations

import contextlib
import copy
import io
import random
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from attacks.annotations import FOREIGN, places
from attacks.folders import png
from attacks.watch import Baits, Case
from omegaconf import DictConfig, OmegaConf

from lightloom.config import compose as config
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.engine import evaluate, train
from lightloom.engine.checkpoint import RECORD, RunRecord
from lightloom.predict import choose
from lightloom.predict.contract import Request

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/support"))
from data_of_task import DATA

QUICK = 6
FOUND = ("data.num_classes", "data.vocab_size", "data.target", "data.num_symbols")  # in the data, which is read here
GPT = ("model.network.layers=1", "model.network.dim=8", "model.network.heads=2")
MODELS: dict[str, tuple[str, ...]] = {
    "classification": ("mlp", "data=digits", "model.network.hidden=[4]"),
    "text_classification": ("bag",),
    "masked_language_modelling": ("bert", "model.network.backbone.layers=1", "model.network.backbone.dim=16"),
    "language_modelling": ("gpt", *GPT),
    "supervised_fine_tuning": ("sft", *GPT),
    "reward_modelling": ("reward", *GPT),
    "preference_optimization": ("dpo", *GPT),
    "reward_maximization": ("ppo_gpt", *GPT),
    "translation": (
        "transformer",
        "model.network.encoder_layers=1",
        "model.network.decoder_layers=1",
        "model.network.dim=16",
    ),
    "node_classification": ("gcn",),
    "control": ("ppo",),
    "segmentation": ("unet", "model.network.width=4"),
    "text_recognition": ("crnn",),
    "tagging": ("tagger",),
    "regression": ("regressor",),
}
OLD = {  # tasks with a checkpoint in tests/old_checkpoints, and those that only rename such a task's metrics
    *("bidirectional", "detection", "generation", "latent_variable", "reconstruction", "signal_reconstruction"),
    *("averaged_generation", "conditional_generation", "representation", "denoising"),
}


@cache
def content(task: str) -> dict[str, Any]:
    """A checkpoint of the task's model, as it is before the first step."""
    model, *options = MODELS[task]
    given = [f"model={model}", *DATA.get(task, ()), *options, "trainer=cpu", "seed=0"]
    given = [option for option in given if not option.startswith(FOUND)]
    cfg = config.without_hydra(config.compose("train", [*given, "run_name=attacked"]))
    cfg, data = train.build_data(cfg)
    module = train.build_module(cfg)
    record = RunRecord(plain(cfg), contract.state(data))
    return {"state_dict": module.state_dict(), "global_step": 0, "epoch": 0, RECORD: record.content()}


def command(name: str, path: Path, folder: Path, **options: Any) -> DictConfig:
    """The configuration of a command."""
    cfg = _command(name).copy()
    OmegaConf.set_struct(cfg, False)
    cfg.paths.update({"output_dir": str(folder), "log_dir": str(folder), "data_dir": str(folder)})
    cfg.update({"ckpt_path": str(path), **options})
    return cfg


@cache
def _command(name: str) -> DictConfig:
    return config.without_hydra(config.compose(name, ["trainer=cpu"] if name == "predict" else []))


def asked(folder: Path) -> dict[str, list[Any]]:
    """Option of predict.py -> what it may be given."""
    files = {"a.txt": b"a film, so it goes\n\nthe end", "a.jsonl": b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n'}
    for name, text in {**files, "a.png": png(0)}.items():
        (folder / name).write_bytes(text)
    return {
        "input": [str(folder / name) for name in ("a.png", "a.txt", "a.jsonl")],
        "prompt": ["the "],
        "text": ["a <mask> film"],
        "num_samples": [1],
    }


def use(path: Path) -> object:
    """Evaluate and predict; raises the first refusal after all were tried."""
    refusals: list[UserError] = []
    done: list[str] = []

    def tried(what: str, act: Any) -> Any:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found = act()
        except UserError as error:
            refusals.append(error)
            return None
        done.append(what)
        return found

    folder = path.parent
    if (restored := tried("restore", lambda: evaluate.restore(command("eval", path, folder)))) is None:
        raise refusals[0]
    trained, module = restored
    predict = command("predict", path, folder)
    for one in choose.capabilities():
        if not one.predictor.accepts(module, Request({}, trained.data)):
            continue
        for option, values in asked(folder).items():
            for value in values if option in one.predictor.ways else ():
                cfg = predict.copy()
                cfg[option] = value
                if "num_tokens" in cfg:
                    cfg.num_tokens = 3
                tried(f"{one.name} {option}", lambda one=one, cfg=cfg: one.run(cfg, trained.copy(), module))
    tried("data", lambda: evaluate.test_data(command("eval", path, folder, batch_size=2), trained.copy()))
    if refusals and len(done) == 1:
        raise refusals[0]
    return done


def changed(whole: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], str]:
    """The content with one value changed, and where."""
    found = {**whole, "state_dict": dict(whole["state_dict"]), RECORD: copy.deepcopy(whole[RECORD])}
    record = found[RECORD]
    where = rng.choice(("data", "data", "data", "state", "state", "model", "tensor"))
    if where == "tensor":
        name = rng.choice(list(found["state_dict"]))
        x = found["state_dict"][name]
        others = (
            x[..., None],
            x.double(),
            x.to_sparse() if x.ndim else x,
            None,
            "x",
            x.flatten()[:1],
            x.bool(),
            x * float("nan"),
        )
        found["state_dict"][name] = rng.choice(others)
        return found, name
    tree = record["data"] if where == "state" else record["config"][where]
    if where == "data" and rng.random() < 0.5:  # a fact, which a predictor asks for
        path: tuple[Any, ...] = (rng.choice([key for key, value in tree.items() if not isinstance(value, dict)]),)
    else:
        path = rng.choice(list(places(tree)) or [()])
    if not path:
        record["data"] = rng.choice(({"a": 1}, {"vocabulary": "{}"}, {"columns": 3}))
        return found, f"{where} {record['data']}"
    holder = tree
    for key in path[:-1]:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[path[-1]]
        return found, f"{where} {path} removed"
    value = rng.choice(FOREIGN)
    old = holder[path[-1]]
    if isinstance(old, str) and len(old) > 100 and rng.random() < 0.7:  # a vocabulary, as JSON
        at = rng.randrange(len(old))
        value = rng.choice(
            (old[:at], old[:at] + "x" + old[at:], "{}", "[]", old.replace(",", ",,", 1), old.replace('"', "", 1))
        )
    holder[path[-1]] = copy.deepcopy(value)
    return found, f"{where} {path} {str(value)[:60]}"


def values(baits: Baits, count: int, chance: random.Random) -> Iterator[Case]:
    """Each task in turn, with one value changed."""
    names = list(MODELS)
    for i in range(count):
        task, rng = names[i % len(names)], random.Random(chance.random())
        folder = baits.folder.parent / f"task-{i}"
        folder.mkdir()
        other, where = changed(content(task), rng)
        torch.save(other, folder / "a.ckpt")
        yield Case(f"{task}: {where}", partial(use, folder / "a.ckpt"))


KINDS = {"values in checkpoints of every task": values}
