"""The rule of a key: that of whoever takes the option, and here those of the keys that no constructor of ours takes.

An option of a command that belongs to one capability or one command is annotated in the `options.py` beside it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from lightloom.config.annotations import may_be_mapping, option_rule
from lightloom.config.values import (
    AnyOf,
    BatchCount,
    Devices,
    Flag,
    Items,
    Number,
    OneOf,
    Parts,
    Rule,
    Text,
    format_value,
)

SOURCE = Path(__file__).parents[1]
COUNT = Number(int, 1)
LIMIT = BatchCount(int, 0, also=(None,))
NOT_NEGATIVE = Number(float, 0)
PLACE = Text(".*\\S.*", "a folder")
POSITIVE = Number(float, 0, above=True)

# Of all entry points, of Hydra and of the Trainer, whose own annotations say less.
RULES: dict[str, Rule] = {
    "seed": Number(int, 0, 2**32 - 1),
    "resume": OneOf(("auto", "never", "must")),
    "data_changed": OneOf(("refuse", "accept")),
    "weights_only_init": Parts(
        "true, false, backbone, or a list of patterns of weights' names, such as [network.layer1]",
        also=(None,),  # null: false, where a model can begin with random weights
    ),
    "tags": Items(Text(r"[^\x00-\x1f\x7f]+", "a word, as in tags=[first,cosine]")),
    "run_name": Text(
        r"(?!/)(?!(.*/)?\s*\.{0,2}\s*(/|$))[^\x00-\x1f\x7f]*",
        "a name for the run's folder in logs/runs, such as run_name=first",
    ),
    "monitor.metric": Text(r"\S+", "the name of a metric that is logged, such as val/loss"),
    "monitor.mode": OneOf(("min", "max")),
    "paths.root": PLACE,
    "paths.data_dir": PLACE,
    "paths.log_dir": PLACE,
    "paths.output_dir": PLACE,
    "hydra.run.dir": PLACE,
    "hydra.sweep.dir": PLACE,
    # sweep.py
    "sweep.name": Text(r"(?!\.{1,2}$)[\w.-]+", "a name for a folder, such as sweep.name=first", also=(None,)),
    "sweep.sampler": OneOf(("grid", "random", "tpe")),
    "sweep.n_trials": Number(int, 1, also=(None,)),
    "sweep.seeds": COUNT,
    "sweep.seed": Number(int, 0, 2**32 - 1),
    "sweep.pruner": OneOf(("none", "median", "halving")),
    "sweep.prune_after": COUNT,
    "sweep.prune_startup": COUNT,
    "sweep.n_jobs": COUNT,
    "sweep.launcher": OneOf(("local", "submitit", "ray")),
    "sweep.ray.cpus": Number(float, 0),
    "sweep.ray.gpus": Number(float, 0),
    "sweep.ray.retries": Number(int, 0),
    # eval.py, predict.py, export.py, inspect_data.py
    "split": OneOf(("train", "val", "test", "all"), also=(None,)),
    "batch_size": Number(int, 1, also=(None,)),  # null: as the data says
    "num_workers": Number(int, 0, 256),
    # the Trainer
    "trainer.accelerator": OneOf(("auto", "cpu", "gpu", "mps"), also=("cuda",)),
    "trainer.profiler": OneOf(("simple", "advanced", "pytorch"), also=(None,)),
    "trainer.precision": OneOf(
        ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"),
        also=(None, 16, 32, 64, "16", "32", "64", "bf16", "transformer-engine", "transformer-engine-float16"),
    ),
    "trainer.loop": OneOf(("fast", "lightning")),
    "trainer.num_nodes": COUNT,
    "trainer.devices": Devices(int, 1, also=("all", "auto", -1)),
    "trainer.max_epochs": Number(int, 1, also=(-1, None)),
    "trainer.min_epochs": Number(int, 1, also=(None,)),
    "trainer.max_time": Text(
        r"\d+:\d\d:\d\d:\d\d|\{.+\}", "DD:HH:MM:SS, days to seconds, or null", also=(None,), of_mappings=True
    ),
    "trainer.max_steps": Number(int, 1, also=(-1,)),
    "trainer.min_steps": Number(int, 1, also=(None,)),
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.gradient_clip_val": Number(float, 0, also=(None,)),
    "trainer.limit_train_batches": BatchCount(int, 1, also=(None,)),
    "trainer.limit_val_batches": LIMIT,
    "trainer.limit_test_batches": LIMIT,
    "trainer.limit_predict_batches": LIMIT,
    "trainer.overfit_batches": LIMIT,
    "trainer.check_val_every_n_epoch": Number(int, 1, also=(None,)),
    "trainer.log_every_n_steps": Number(int, 0, also=(None,)),
    "trainer.fast_dev_run": Number(int, 1, also=(True, False)),
    "trainer.deterministic": OneOf(("warn",), also=(True, False, None)),
    "trainer.benchmark": OneOf((), also=(True, False, None)),
}

# Ranges that the libraries' own annotations leave out: who takes the option (a * stands for any class), and which.
LIBRARIES: dict[tuple[str, str], Rule] = {
    **{(f"{library}.optim.*", "lr"): POSITIVE for library in ("torch", "timm")},
    **{(f"{library}.optim.*", "weight_decay"): NOT_NEGATIVE for library in ("torch", "timm")},
    **{(f"{library}.optim.*", "momentum"): Number(float, 0, 1, below=True) for library in ("torch", "timm")},
    ("pytorch_lightning.callbacks.*", "patience"): Number(int, 0),
    ("datetime.timedelta", "minutes"): POSITIVE,
}


KEYWORDS: dict[str, Rule] = {  # of an object's node: what is built, and how
    "_target_": Text(r"[^\W\d]\w*(\.[^\W\d]\w*)+", "the dotted name of a class or function, such as torch.optim.SGD"),
    "_partial_": Flag(),
    "_recursive_": Flag(),
    "_convert_": OneOf(("none", "partial", "object", "all")),
}


@cache
def rule_for(key: str, target: str | None = None) -> Rule | None:
    """The rule of the values of a dotted key, or None. target: the class or function that takes the option."""
    if key in RULES:
        return RULES[key]
    option = key.rpartition(".")[2]
    if option in KEYWORDS:
        return KEYWORDS[option]
    if target is None and option == key:
        return _command_rule(option)
    if target is None or option.startswith("_"):
        return None
    given = [rule for (taker, name), rule in LIBRARIES.items() if name == option and fnmatchcase(target, taker)]
    return given[0] if given else option_rule(target, option)


def _command_rule(option: str) -> Rule | None:
    """The rule of an option of a command, as the `Options` of a file `options.py` annotate it; of several, either."""
    files = sorted(SOURCE.glob("*/**/options.py"))
    takers = [".".join((SOURCE.name, *file.relative_to(SOURCE).with_suffix("").parts, "Options")) for file in files]
    rules = list(dict.fromkeys(rule for taker in takers if (rule := option_rule(taker, option)) is not None))
    if len(rules) > 1 and all(isinstance(rule, OneOf) for rule in rules):
        words, also = ([v for rule in rules for v in getattr(rule, part)] for part in ("words", "also"))
        return OneOf(tuple(words), tuple(dict.fromkeys(also)))
    return AnyOf(tuple(rules)) if len(rules) > 1 else next(iter(rules), None)


def type_problem(key: str, current: Any, value: Any, target: str | None = None) -> str | None:
    """Does `value` fit where `current` stands? One sentence, or None. A key with a rule is judged by the rule."""
    rule = rule_for(key, target)
    if "${" in str(value) or (isinstance(value, dict) and "_target_" in value):  # not known yet, or an object
        return None
    if rule is None or isinstance(current, DictConfig) or (isinstance(rule, Items) and _shows_more(current, value)):
        return _unlike(key, current, value) or _no_place(key, current, value, target)
    return rule.problem(key, value)


def _shows_more(current: Any, value: Any) -> bool:
    """Is the list that stands there a better example than the words of a rule?"""
    return isinstance(current, ListConfig) and len(current) > 0 and not isinstance(value, list | None)


def _unlike(key: str, current: Any, value: Any) -> str | None:
    """A value without a rule is of the type of what it replaces."""
    if isinstance(current, bool):
        return None if isinstance(value, bool) else f"{key}={format_value(value)}: expected true or false."
    if current is None or value is None:
        return None
    if isinstance(current, int | float):
        return _number_problem(key, [current], value)
    if isinstance(current, ListConfig):
        if not isinstance(value, list):
            return f"{key}={format_value(value)}: expected a list such as {format_value(current)}."
        return next((p for v in value if (p := _number_problem(key, current, v))), None)
    if isinstance(current, DictConfig) and not isinstance(value, dict):
        known = ", ".join(map(str, current))
        return f"{key}={format_value(value)}: expected options, {key}.<option>=<value>; it has {known}."
    return None


def _no_place(key: str, current: Any, value: Any, target: str | None) -> str | None:
    """A mapping where text stands, one without content, and nothing where every run has something."""
    if isinstance(value, dict) and isinstance(current, str):
        return f"{key}={format_value(value)}: expected text."
    if value == {} and (isinstance(current, DictConfig) or not may_be_mapping(target, key.rpartition(".")[2])):
        return f"{key}={{}} has no options; write {key}.<option>=<value>, or null where it may be left out."
    if value is None and "." not in key and isinstance(current, DictConfig | ListConfig):
        return f"{key}=null: every run has one; change it with {key}=<value>."
    return None


def _number_problem(key: str, examples: Any, value: Any) -> str | None:
    """A number where the examples are numbers, an integer where all are."""
    if not examples or not all(isinstance(e, int | float) and not isinstance(e, bool) for e in examples):
        return None
    rule = Number(float if any(isinstance(e, float) for e in examples) else int)
    if isinstance(value, str) or (isinstance(value, float) and rule.type is int):  # only a rule's values are coerced
        return f"{key}={format_value(value)}: expected {rule.expected()}."
    return rule.problem(key, value)
