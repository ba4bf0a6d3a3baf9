"""Check one override of a key against the configuration that it would change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.types import Glob, IntervalSweep, Override, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightloom.config import habits
from lightloom.config.annotations import has_default, options_class, options_of
from lightloom.config.declarations import ways_to_predict
from lightloom.config.rules import type_problem
from lightloom.config.source import may_state_facts
from lightloom.config.values import format_value
from lightloom.core.errors import did_you_mean, slip

OPEN = ("callbacks", "logger")  # groups of objects: another one may be added to each
OF_RECORDED_DATA = (
    "eval",
    "export",
    "inspect_data",
)  # commands that use a checkpoint's own data
SUBMITIT = "sweep.submitit."  # what submitit takes it knows best
HYDRA_OPEN = ("job.env_set", "job_logging", "hydra_logging", "launcher", "sweeper", "callbacks")  # its own dictionaries


def problems(base: DictConfig, override: Override) -> Iterator[str]:
    """Each mistake in `override`: its key, the + in front, its values."""
    key, line = override.key_or_group, override.input_line
    if override.package is not None or key.startswith("hydra.searchpath"):
        yield f"{line}: there is no group of options {key!r}; for YAML files of your own, use --config-dir=<folder>."
    elif not exists(base, key):
        if override.is_delete() or not may_be_added(base, key, adds=override.is_add() or override.is_force_add()):
            yield unknown_key(base, key, str(line))
    elif override.is_add() and not isinstance(_select(base, key), DictConfig):
        yield f"{line}: {key} is there already; write it without the +."
    elif override.is_delete():
        yield from _structural(base, key, str(line))
    else:
        current, found, taker = _select(base, key), values(override), taker_of(base, key)
        if not found:
            yield f"{line}: this sweep has no values; glob is for groups such as model."
        yield from (p for value in found if (p := type_problem(key, current, value, taker)))


def _structural(base: DictConfig, key: str, line: str) -> Iterator[str]:
    """That a key may not be left out: a run needs it, or the object that takes it does."""
    parent, _, leaf = key.rpartition(".")
    taker = taker_of(base, key)
    if taker and (leaf.startswith("_") or key == "data.kind" or not has_default(taker, leaf)):
        yield f"{line}: {taker} needs {leaf}; change it with {key}=<value>."
        return
    is_loose = parent in (*OPEN, "sweep.space") or key.startswith(("hydra.", SUBMITIT))
    if not (taker or is_loose or (parent and _is_inside_object(base, parent))):
        yield f"{line}: every run has {key}; change it with {key}=<value>."


def values(override: Override, names: Sequence[str] = ()) -> list[Any]:
    """Each value of a sweep, the ends of an interval, else the one value. names: what a glob may match."""
    value: Any = override.value()
    if isinstance(value, Glob):
        return value.filter(list(names))
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    found = list(override.sweep_iterator()) if override.is_discrete_sweep() else [value]
    return [_unquoted(v) for v in found]


def _unquoted(value: Any) -> Any:
    """A value of a sweep as plain text, numbers, lists and dictionaries."""
    if isinstance(value, list):
        return [_unquoted(v) for v in value]
    if isinstance(value, dict):
        return {_unquoted(k): _unquoted(v) for k, v in value.items()}
    return value.text if isinstance(value, QuotedString) else value


def taker_of(cfg: DictConfig, key: str) -> str | None:
    """The dotted name of the class or function that takes the option, where its object is written down."""
    parent = key.rpartition(".")[0]
    node = _select(cfg, parent) if parent else None
    if not isinstance(node, DictConfig) or "_target_" in node:
        return str(node._target_) if isinstance(node, DictConfig) else None
    above = taker_of(cfg, parent)
    return options_class(above, parent.rpartition(".")[2]) if above else None


def exists(cfg: DictConfig, key: str) -> bool:
    """Has the configuration this dotted key? Of a list the indices are its keys."""
    parent, _, leaf = key.rpartition(".")
    node = _select(cfg, parent) if parent else cfg
    if isinstance(node, ListConfig):
        return leaf.isdigit() and int(leaf) < len(node)
    return isinstance(node, DictConfig) and leaf in node


def may_be_added(base: DictConfig, key: str, adds: bool) -> bool:
    """Will something read the new key? An object's constructor does; what lightloom's take is known without the +."""
    if _is_of_the_command(base, key):
        return True
    parent, _, leaf = key.rpartition(".")
    taker = taker_of(base, key)
    options = options_of(taker) if taker else None
    if taker and options is not None:
        beside = [*options, *map(str, _select(base, parent) or ())]
        return leaf in options or (adds and is_fact(parent, leaf, taker, beside))
    return adds and bool(parent) and _takes_any(base, parent, leaf)


def _is_of_the_command(base: DictConfig, key: str) -> bool:
    """What predict.py may be asked to predict, and options of data whose own ones only the checkpoint has."""
    parent, command = key.rpartition(".")[0], _select(base, "hydra.job.config_name")
    if not parent:
        return command == "predict" and key in ways_to_predict()
    return parent == "data" and command in OF_RECORDED_DATA and not _is_inside_object(base, parent)


def _takes_any(base: DictConfig, parent: str, leaf: str) -> bool:
    """May there be a key that nobody knows here, which is no slip of one that is there?"""
    node = _select(base, parent)
    if isinstance(node, DictConfig) and slip(leaf, map(str, node)):
        return False
    open_ended = (*(f"hydra.{part}." for part in HYDRA_OPEN), *(f"{group}." for group in OPEN), SUBMITIT)
    grows = f"{parent}.{leaf}".startswith(open_ended)
    return _may_grow(base, parent) if grows else _is_inside_object(base, parent)


def _may_grow(base: DictConfig, key: str) -> bool:
    """May there be keys below this one, where it is there? Not below a value, nor below an option that is null."""
    if not exists(base, key):
        return _may_grow(base, key.rpartition(".")[0])
    node = _select(base, key)
    return isinstance(node, DictConfig) or (node is None and key.rpartition(".")[0] in OPEN)


def is_fact(path: str, key: str, target: str, options: Iterable[str]) -> bool:
    """May it be a fact that the configuration states beside the options of somebody's datamodule, and no slip?"""
    return may_state_facts(path, target) and slip(key, options) is None


def _is_inside_object(base: DictConfig, key: str) -> bool:
    """Whether `key` is an object, or a dictionary that is handed to one."""
    node = _select(base, key)
    if not isinstance(node, DictConfig):
        return False
    return "_target_" in node or ("." in key and _is_inside_object(base, key.rpartition(".")[0]))


def unknown_key(base: DictConfig, key: str, line: str) -> str:
    """That there is no such key, with the likeliest that were meant."""
    parent = key.rpartition(".")[0]
    node = _select(base, parent) if parent else base
    if isinstance(node, DictConfig):
        return _unknown_option(base, node, key, line)
    if exists(base, parent):
        return f"{line}: {parent} is {format_value(node)} and has no options."
    hint = habits.option(key) or _elsewhere(base, key) or _below(base, parent)
    return f"{line}: there is no {parent!r} in the configuration.{hint}"


def _unknown_option(base: DictConfig, node: DictConfig, key: str, line: str) -> str:
    """That what there is, `node`, has no such option."""
    parent, _, leaf = key.rpartition(".")
    target = str(node.get("_target_", ""))
    names = list(dict.fromkeys(str(k) for k in (*node, *(options_of(target) or ())) if k not in ("hydra", "_target_")))
    said = f"{line}: {parent + ' has' if parent else 'there is'} no option {leaf!r}."
    if habit := habits.option(key):
        return said + habit
    said += _likeliest(base, key, names)
    return said if line.startswith(("+", "~")) else said + _by_adding(line, parent, leaf, target, names)


def _likeliest(base: DictConfig, key: str, names: Sequence[str]) -> str:
    """What was meant: the same option elsewhere, unless it is a slip of one here; else one like it, or all of them."""
    parent, _, leaf = key.rpartition(".")
    elsewhere = "" if slip(leaf, names) else _elsewhere(base, key)
    near = elsewhere or did_you_mean(leaf, names, prefix=f"{parent}." if parent else "")
    return near or (f" Known: {', '.join(names)}." if names else " It takes none.")


def _by_adding(line: str, parent: str, leaf: str, target: str, names: Sequence[str]) -> str:
    """How the option may be given all the same, where its object takes any, or may be told a fact; else nothing."""
    if target and options_of(target) is None and not slip(leaf, names):
        return f" If {target} takes it, write +{line}."
    if is_fact(parent, leaf, target, names):
        return f" To state it as a fact of the data, write +{line}."
    return ""


def _elsewhere(base: DictConfig, key: str) -> str:
    """Keys that end like this one (optimizer.lr for model.optimizer.lr), or whose last part is close to its last."""
    paths = list(_paths(base))
    ending = [p for p in paths if f".{p}".endswith(f".{key}")]
    if not ending and "." not in key:
        ending = [p for p in paths if p.rpartition(".")[2] == slip(key, (q.rpartition(".")[2] for q in paths))]
        ending = ending or [p for p in paths if p.endswith(f"_{key}") and not p.startswith("callbacks.")]
    ending.sort(key=lambda path: not path.startswith("trainer."))  # what every run has first
    return f" Did you mean {' or '.join(ending[:3])}?" if ending else ""


def _below(base: DictConfig, key: str) -> str:
    """What there is below the part of a key that does exist."""
    parts = key.split(".")
    while parts and not isinstance(_select(base, ".".join(parts)), DictConfig):
        parts.pop()
    there, missing = ".".join(parts), key.split(".")[len(parts)]
    names = [str(k) for k in (_select(base, there) if there else base) if k != "_target_"]
    prefix = f"{there}." if there else ""
    return did_you_mean(missing, names, prefix) or f" {there or 'It'} has {', '.join(names)}."


def _paths(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, cfg):
        if prefix or key != "hydra":
            yield f"{prefix}{key}"
            if OmegaConf.is_missing(cfg, key) or OmegaConf.is_interpolation(cfg, key):
                continue
            if isinstance(child := cfg[key], DictConfig):
                yield from _paths(child, f"{prefix}{key}.")


def _select(cfg: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(cfg, key, throw_on_missing=False)
    except OmegaConfBaseException:
        return None
