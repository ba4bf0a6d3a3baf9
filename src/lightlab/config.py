"""The configuration: composed by Hydra, checked as a whole before anything heavy is imported.

Hydra stops at the first mistake and shows its own inside. `check` finds all of them: groups, keys, types, ranges and
kinds. It needs neither torch nor the data, so a typing error answers at once.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from lightlab.errors import UserError, did_you_mean, raise_all
from lightlab.schema import RULES, type_problem

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
SHORTHAND = {"optimizer": "optimizer@model.optimizer", "scheduler": "scheduler@model.scheduler"}
MAX_COMBINATIONS = 64  # of a sweep that are checked before its first run


def register_resolvers(config_name: str) -> None:
    """What YAML files may ask the program: `${project_root:}`, `${config_name:}`, `${run_time:}`."""
    started = os.environ.setdefault("LIGHTLAB_RUN_TIME", datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    for name, value in {"project_root": str(ROOT), "config_name": config_name, "run_time": started}.items():
        OmegaConf.register_new_resolver(name, lambda value=value: value, replace=True)


def compose(config_name: str, overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """The configuration that Hydra would hand to the entry point, outside a Hydra run (checks, tests)."""
    register_resolvers(config_name)
    search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        cfg = hydra_compose(config_name, [*overrides, *search], return_hydra_config=True)
    with read_write(cfg.hydra), read_write(cfg.hydra.job), read_write(cfg.hydra.runtime):
        cfg.hydra.job.num, cfg.hydra.runtime.output_dir = 0, "."
    HydraConfig.instance().set_config(cfg)
    with read_write(cfg.hydra), read_write(cfg.hydra.runtime):
        cfg.hydra.runtime.output_dir = cfg.hydra.run.dir
    OmegaConf.set_struct(cfg, False)
    return cfg


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy with every interpolation resolved and Hydra's own part left out, values coerced to their rule's type."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    plain.pop("hydra", None)
    _coerce(plain)
    return OmegaConf.create(plain)


def expand_shorthand(override: str) -> str:
    """`optimizer=sgd` for `optimizer@model.optimizer=sgd`; the same for scheduler."""
    key, equals, value = override.partition("=")
    return SHORTHAND.get(key, key) + equals + value


def check(config_name: str, overrides: Sequence[str], config_dir: str | None = None) -> None:
    """Raise one UserError with every mistake in the overrides and in the configuration that they make."""
    parsed, problems = _parse(overrides)
    groups = [o for o in parsed if _is_group(o.key_or_group, config_dir)]
    values = [o for o in parsed if o not in groups]
    good_groups = []
    for override in groups:
        found = list(_group_problems(override, config_dir))
        problems += found
        good_groups += [] if found else [override]
    for choice in _combinations(good_groups):
        problems += _check_values(config_name, choice, values, config_dir)
    raise_all(problems)


def _parse(overrides: Sequence[str]) -> tuple[list[Override], list[str]]:
    parser, parsed, problems = OverridesParser.create(), [], []
    for text in overrides:
        try:
            parsed.append(parser.parse_override(text))
        except HydraException:
            problems.append(
                f"{text!r} is not of the form key=value; quote values with special characters: 'key=\"value\"'."
            )
    return parsed, problems


# --- groups -----------------------------------------------------------------------------------------------------------


def options(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """The names that `group=` takes, with their files, sorted."""
    roots = [CONFIGS, *([Path(config_dir)] if config_dir else [])]
    return {p.stem: p for root in roots for p in sorted((root / group).glob("*.yaml"))}


def _is_group(key: str, config_dir: str | None) -> bool:
    return bool(options(key, config_dir))


def _group_problems(override: Override, config_dir: str | None) -> Iterator[str]:
    known = options(override.key_or_group, config_dir)
    for value in _values(override):
        for name in value if isinstance(value, list) else [value]:
            if name is not None and str(name) not in known:
                group = override.key_or_group
                yield f"{group}={name}: there is no such {group}.{did_you_mean(str(name), known)} Known: {', '.join(known)}."


def _values(override: Override) -> list[Any]:
    if override.is_sweep_override() and override.is_discrete_sweep():
        return [_plain(v) for v in override.sweep_iterator()]
    return [_plain(override.value())]


def _plain(value: Any) -> Any:
    return value.text if type(value).__name__ == "QuotedString" else value


def _combinations(groups: Sequence[Override]) -> Iterator[list[str]]:
    choices = [
        [f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()]
        if o.is_sweep_override() and o.is_discrete_sweep()
        else [o.input_line]
        for o in groups
    ]
    for combination in itertools.islice(itertools.product(*choices), MAX_COMBINATIONS):
        yield list(combination)


# --- keys and values --------------------------------------------------------------------------------------------------


def _check_values(name: str, groups: list[str], values: list[Override], config_dir: str | None) -> list[str]:
    try:
        base = compose(name, groups, config_dir)
    except (HydraException, OmegaConfBaseException) as error:
        return [_first_line(error)]
    problems, good = [], []
    for override in values:
        found = list(_value_problems(base, override))
        problems += found
        good += [] if found else [override]
    lines = [o.input_line for o in good if not o.is_sweep_override()]
    try:
        cfg = compose(name, [*groups, *lines], config_dir)
        problems += list(_missing(cfg)) + list(_range_problems(cfg, "")) + list(_kind_problems(cfg, config_dir))
    except (HydraException, OmegaConfBaseException) as error:
        problems.append(_first_line(error))
    return problems


def _value_problems(base: DictConfig, override: Override) -> Iterator[str]:
    key = override.key_or_group
    if override.package is not None or key.startswith("hydra.searchpath"):
        yield f"{override.input_line}: there is no config group {key}.{did_you_mean(key, _groups())}"
        return
    if not _exists(base, key):
        if override.is_delete() or not (override.is_add() or override.is_force_add()):
            yield _unknown_key(base, key, override)
        elif not _may_be_added(base, key, override):
            yield _unknown_key(base, key, override, behind_plus=True)
        return
    if override.is_delete():
        return
    if override.is_add() and not isinstance(OmegaConf.select(base, key, throw_on_missing=False), DictConfig):
        yield f"{override.input_line}: {key} exists; write it without the +."
        return
    current = _select(base, key)
    for value in _values(override):
        problem = type_problem(key, current, value)
        if problem:
            yield problem


def _exists(cfg: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = _select(cfg, parent) if parent else cfg
    if isinstance(node, ListConfig):
        return leaf.isdigit() and int(leaf) < len(node)
    return isinstance(node, DictConfig) and leaf in list(node.keys())  # `in` is False for ???


def _select(cfg: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(cfg, key, throw_on_missing=False)
    except OmegaConfBaseException:
        return None


def _may_be_added(base: DictConfig, key: str, override: Override) -> bool:
    """A new key is read only by the object it belongs to (its constructor is asked later), or is an object itself."""
    parent = _select(base, key.rpartition(".")[0]) if "." in key else None
    is_object = isinstance(override.value(), dict) and "_target_" in override.value()
    if not isinstance(parent, DictConfig):
        return False
    if "_target_" not in parent:
        return is_object or key.startswith("hydra.")
    return not _close_to_existing(parent, key.rpartition(".")[2])


def _close_to_existing(parent: DictConfig, leaf: str) -> bool:
    return bool(did_you_mean(leaf, [str(k) for k in parent if _similar(str(k), leaf)]))


def _similar(known: str, word: str) -> bool:
    """One or two letters apart: more likely a slip than another option of the same object."""
    import difflib

    return difflib.SequenceMatcher(None, known, word).ratio() >= 0.85


def _unknown_key(base: DictConfig, key: str, override: Override, behind_plus: bool = False) -> str:
    parent, _, leaf = key.rpartition(".")
    node = _select(base, parent) if parent else base
    if not isinstance(node, DictConfig):
        existing = _deepest(base, parent)
        return f"{override.input_line}: there is no {parent!r} in the configuration.{did_you_mean(parent, _paths(base))}" + (
            f" It ends at {existing!r}." if existing else ""
        )
    siblings = [str(k) for k in node if k != "hydra"]
    hint = did_you_mean(leaf, siblings) or _elsewhere(base, leaf) or did_you_mean(key, _groups())
    where = f"{parent} has no option" if parent else "there is no option"
    rule = " nothing would read it;" if behind_plus else ""
    return f"{override.input_line}: {where} {leaf!r};{rule}{hint or ' known: ' + ', '.join(siblings) + '.'}"


def _elsewhere(base: DictConfig, leaf: str) -> str:
    found = [p for p in _paths(base) if p.rpartition(".")[2] == leaf]
    return f" Did you mean {' or '.join(found[:3])}?" if found else ""


def _deepest(base: DictConfig, key: str) -> str:
    parts = key.split(".")
    while parts and not isinstance(_select(base, ".".join(parts)), DictConfig):
        parts.pop()
    return ".".join(parts)


def _groups() -> list[str]:
    return [p.name for p in sorted(CONFIGS.iterdir()) if p.is_dir()]


def _paths(cfg: DictConfig, prefix: str = "") -> list[str]:
    out = []
    for key in cfg:
        path = f"{prefix}{key}"
        if path == "hydra":
            continue
        out.append(path)
        child = cfg._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            out += _paths(child, f"{path}.")
    return out


def _missing(cfg: DictConfig) -> Iterator[str]:
    for key in sorted(k for k in OmegaConf.missing_keys(cfg) if not k.startswith("hydra.")):
        yield f"{key} is not set and has no default; give it on the command line: {key}=..."


def _range_problems(cfg: Any, path: str) -> Iterator[str]:
    """Each value that has a rule, wherever it came from."""
    if isinstance(cfg, ListConfig):
        cfg = {str(i): v for i, v in enumerate(cfg)}
    for key in cfg:
        where = f"{path}{key}"
        if where == "hydra":
            continue
        value = cfg[key]
        if isinstance(value, DictConfig | ListConfig):
            yield from _range_problems(value, f"{where}.")
        elif key in RULES and (problem := RULES[key].problem(where, value)):
            yield problem


def _kind_problems(cfg: DictConfig, config_dir: str | None) -> Iterator[str]:
    kind, accepts = cfg.get("data", {}).get("kind"), cfg.get("accepts")
    if accepts and kind and kind not in accepts:
        fitting = [name for name, path in options("data", config_dir).items() if _kind(path) in accepts]
        yield (
            f"data={cfg.data.name} holds {kind} data, but {cfg.task} needs {' or '.join(accepts)} data; "
            f"data sets that fit: {', '.join(fitting)}."
        )


def _kind(path: Path) -> str | None:
    """The `kind` of a data set's YAML, its own or of what it builds on, without composing it."""
    cfg = OmegaConf.load(path)
    if "kind" in cfg:
        return cfg.kind
    parents = [path.parent / f"{d}.yaml" for d in cfg.get("defaults", []) if isinstance(d, str) and d != "_self_"]
    parents += [CONFIGS / "data" / p.relative_to(path.parent) for p in parents]
    return next((_kind(p) for p in parents if p.exists()), None)


def _coerce(node: Any) -> None:
    """Give each value with a rule the rule's type: '1e-3' becomes 0.001."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, dict | list):
            _coerce(value)
        elif key in RULES:
            node[key] = RULES[key].coerce(value)


def _first_line(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())[:300]


__all__ = ["CONFIGS", "ROOT", "UserError", "ValueType", "check", "compose", "options", "without_hydra"]
