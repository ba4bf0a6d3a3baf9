"""The options that a run's folder records, judged as what a file says: they pass the gate, typed ones need not."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightloom.config import compose
from lightloom.config import overrides as keys
from lightloom.config.command_line import quote
from lightloom.config.diff import MACHINE_KEYS, PATH_KEYS, matches
from lightloom.config.hydra_internals import apply_overrides
from lightloom.config.values import format_value
from lightloom.core import run_dir
from lightloom.core.documents import MOST_CONFIG, read_yaml
from lightloom.core.errors import UserError
from lightloom.core.run_dir import ONCE

log = logging.getLogger("lightloom")
REFERENCE = re.compile(r"\$\{[\w.]+\}")  # to another option; any other interpolation computes, or reads the environment
OF_ELSEWHERE = ("experiment", "hydra", "local@_global_", "paths")  # choices that are no more, or are the machine's
PLAIN = re.compile(
    r"[+~]*(\w+=[\w.-]*|[\w.]+=(-?[\d.]+(e-?\d+)?|true|false|null))"
)  # it changes no object, or a number


def as_it_was(lines: list[str], run: Path, config_name: str, config_dir: str | None) -> list[str]:
    """The recorded options of a run; where its experiment's file is gone, or says something else today, the choices of
    groups whose files are still there, with all values of the run's own config.yaml."""
    parsed, _ = compose.parse(lines)
    experiments = [o for o in parsed if o.key_or_group == "experiment"]
    if not experiments or not (run / run_dir.CONFIG).is_file():
        return lines
    then = read_yaml(run / run_dir.CONFIG, MOST_CONFIG)
    if not isinstance(then, dict) or _says_the_same(lines, then, config_name, config_dir):
        return lines
    typed = [str(o.input_line) for o in parsed if _is_there(o, config_dir) and o not in experiments]
    now, groups = None, typed
    for recorded in (lambda: run_dir.recorded_choices(run), dict):  # without a record that is damaged
        with suppress(UserError, HydraException, OmegaConfBaseException):
            groups = _chosen_too(typed, recorded(), config_name, config_dir)
            now = compose.compose(config_name, groups, config_dir)
            break
    if now is None or now.task != then.get("task"):
        raise UserError(
            f"{run}: its {experiments[0].input_line} is not what it was, and chose a model for {then.get('task')}, "
            "which the other options do not; give the experiment its old content back, or begin another run from the "
            "weights: model=<name> data=<name> weights_only_init=true ckpt_path=<the .ckpt file, outside of the run>."
        )
    log.info("%s: its experiment is not what it was; continuing by config.yaml.", run)
    return [*groups, f"run_name={quote(str(then.get('run_name')))}", *_changes(now, then)]


def _chosen_too(typed: list[str], recorded: dict[str, str], config_name: str, config_dir: str | None) -> list[str]:
    """The typed choices of groups, and those that the run's record has besides and that nothing else makes.

    Groups before what their files place (`optimizer@model.optimizer`), of which one may have brought the next.
    """
    wanted = {group: name for group, name in recorded.items() if group not in OF_ELSEWHERE}
    lines = [f"{group}={name}" for group, name in wanted.items()]
    wanted = {o.get_key_element(): str(o.value()) for o in compose.parse(lines)[0] if _is_there(o, config_dir)}
    lines, given = list(typed), {override.partition("=")[0].lstrip("+~") for override in typed}
    while True:
        now = compose.compose(config_name, lines, config_dir).hydra.runtime.choices
        others = [group for group in wanted if group in now and wanted[group] != now[group] and group not in given]
        new = [group for group in others if "@" not in group] or others[:1]
        if not new:
            return lines
        lines += [f"{group}={wanted[group]}" for group in new]
        given |= set(new)


def _is_there(override: Override, config_dir: str | None) -> bool:
    """Is it the choice of a group whose files are still there?"""
    known = compose.options(override.key_or_group, config_dir)
    return bool(known) and set(keys.values(override, list(known))) <= {*known, None}


def _says_the_same(lines: list[str], then: dict[str, Any], config_name: str, config_dir: str | None) -> bool:
    """Do the options make the configuration that the run recorded, as far as both state a value?"""
    try:
        now = _flat(_composed(lines, config_name, config_dir))
    except UserError:
        return False
    before = _flat(then)
    both = [key for key in now if key in before and _is_known(now[key]) and _is_known(before[key])]
    given = {override.partition("=")[0].lstrip("+~") for override in lines}
    return all(now[key] == before[key] or _is_own(key) or key in given for key in both)


def _is_known(value: Any) -> bool:
    """Not a fact, nor what hangs on a fact, that only the data will tell."""
    return value is not None and not (isinstance(value, str) and REFERENCE.fullmatch(value))


def _composed(lines: list[str], config_name: str, config_dir: str | None) -> dict[str, Any]:
    return _plain(compose.compose(config_name, compose.check(config_name, lines, config_dir), config_dir))


def _plain(cfg: DictConfig) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(compose.without_hydra(cfg))
    return plain


def _changes(cfg: DictConfig, then: dict[str, Any]) -> list[str]:
    """Overrides that turn a configuration into the one of then, classes first; `cfg` is changed by them, in place.

    What another option tells (`${...}`) is written down last, where it is not right by then.
    """
    before, lines = _flat(then), []
    for told in (False, True):
        now, raw = _flat(_plain(cfg)), _tree(cfg)
        gone = [key for key in now if key not in before and now[key] is not None and not _holds(before, key)]
        wrong = [key for key in before if key not in now or now[key] != before[key]]
        wrong.sort(key=lambda key: (not key.endswith("._target_"), key))
        places = dict(_place(raw, key) for key in wrong)
        new = [f"~{key}" for key in gone if _place(raw, key) == (key, False) and not _is_own(key)]
        written = [key for key, is_told in places.items() if is_told <= told and not _is_own(key)]
        new += [f"++{key}={_written(_at(then, key))}" for key in written]
        OmegaConf.set_readonly(cfg.hydra, False)
        apply_overrides(compose.parse(new)[0], cfg)
        lines += new
    return lines


def _place(raw: Any, key: str) -> tuple[str, bool]:
    """Where a value is written: at its key, or at what stands in the way of it; and is that another option's value?"""
    for length in range(1, key.count(".") + 2):
        place = ".".join(key.split(".")[:length])
        raw = raw.get(key.split(".")[length - 1], {})
        if not isinstance(raw, Mapping):
            return place, isinstance(raw, str) and "${" in raw
    return key, False


def _holds(flat: dict[str, Any], key: str) -> bool:
    """Is there a value below this key?"""
    return any(known.startswith(f"{key}.") for known in flat)


def _at(tree: Any, key: str) -> Any:
    """The value at a dotted key."""
    for name in key.split("."):
        tree = tree[name]
    return tree


def _is_own(key: str) -> bool:
    """Is it about one command, or the machine?"""
    return matches(key, (*MACHINE_KEYS, *PATH_KEYS, *ONCE, "overrides", "trust", "*.trust"))


def _flat(node: Any, key: str = "") -> dict[str, Any]:
    """Values by their dotted keys; a list is one value, and so is a mapping that is empty or has dots in its names."""
    if not (isinstance(node, Mapping) and node) or any("." in str(name) for name in node):
        return {key: node}
    children = ((f"{key}.{name}" if key else str(name), child) for name, child in node.items())
    return {k: v for where, child in children for k, v in _flat(child, where).items()}


def _written(value: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_written(child)}" for name, child in value.items()) + "}"
    return f"[{','.join(map(_written, value))}]" if isinstance(value, list) else format_value(value)


def check_recorded(
    lines: Sequence[str], typed: Sequence[str], config_name: str, config_dir: str | None, source: str
) -> list[str]:
    """The recorded options of a run, without those that only a command line can give.

    typed: what this one gives. Raises UserError where they name an object that is not to be trusted, or have one reach
    outside (`trust`). Judged is what they change in the configuration that the choices of groups make.
    """
    given, _ = compose.parse(typed)
    trust = next((o.value() for o in reversed(given) if o.key_or_group == "trust"), ())
    swapped = [str(o.input_line) for o in given if compose.is_group(o.key_or_group, config_dir)]
    parsed, problems = compose.parse(lines)
    if problems:
        raise UserError(f"{source}: {problems[0]}")
    kept = [o for o in parsed if o.key_or_group not in ONCE and o.key_or_group.rpartition(".")[2] != "trust"]
    for override in kept:
        _check_line(override, source)
    found = [str(o.input_line) for o in kept]
    groups = [str(o.input_line) for o in kept if compose.is_group(o.key_or_group, config_dir)]
    changing = [o for o in kept if str(o.input_line) not in groups]
    if not all(PLAIN.fullmatch(str(o.input_line)) for o in changing):
        try:
            cfg = compose.compose(config_name, [*groups, *swapped], config_dir)
            chosen = _tree(cfg)
            OmegaConf.set_readonly(cfg.hydra, False)
            apply_overrides(changing, cfg)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"{source}: {compose.brief(error)}") from error
        _check_changes(chosen, _tree(cfg), source, trust)
    return found


def _check_line(override: Override, source: str) -> None:
    line = str(override.input_line)
    if override.key_or_group.startswith("hydra"):
        raise UserError(f"{source}: {line} is an option of one command; take the line out, or give it yourself.")
    if "${" in REFERENCE.sub("", line):
        raise UserError(f"{source}: {line} computes its value; take the line out, or give the option yourself.")


def _tree(cfg: DictConfig) -> dict[str, Any]:
    tree: Any = OmegaConf.to_container(cfg, resolve=False)
    return {key: value for key, value in tree.items() if key != "hydra"}


def _check_changes(chosen: Mapping[str, Any], asked: Mapping[str, Any], source: str, trust: Any) -> None:
    from lightloom.engine import trust as gate  # torch, which few recorded options need

    own = gate.packages(trust)
    for where, before, now in _pairs(chosen, asked, ""):
        if before is None or before.get("_target_") != now["_target_"]:
            gate.check_object(now, source, where, own)
        elif changed := {key: value for key, value in now.items() if value != before.get(key, ...)}:
            gate.check_options(now["_target_"], changed, source, where, own)
            for name in [name for name in changed if "${" in str(changed[name]) and gate.OUTSIDE.search(name)]:
                raise UserError(f"{source}: {where}.{name} is another option's value; give it on the command line.")


def _pairs(before: Any, now: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any] | None, Mapping[str, Any]]]:
    """(key, what stood there, what stands there now) of each object."""
    if isinstance(now, Mapping):
        if "_target_" in now:
            yield where, before if isinstance(before, Mapping) else None, now
        for key, child in now.items():
            there = before.get(key) if isinstance(before, Mapping) else None
            yield from _pairs(there, child, f"{where}.{key}" if where else str(key))
    elif isinstance(now, list):
        for i, child in enumerate(now):
            there = before[i] if isinstance(before, list) and i < len(before) else None
            yield from _pairs(there, child, f"{where}.{i}")
