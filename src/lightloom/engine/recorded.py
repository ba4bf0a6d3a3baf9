"""The options that a run's folder records, judged as what a file says: they pass the gate, typed ones need not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightloom.config import compose
from lightloom.config.hydra_internals import apply_overrides
from lightloom.core.errors import UserError
from lightloom.core.run_dir import ONCE

REFERENCE = re.compile(r"\$\{[\w.]+\}")  # to another option; any other interpolation computes, or reads the environment
PLAIN = re.compile(
    r"[+~]*(\w+=[\w.-]*|[\w.]+=(-?[\d.]+(e-?\d+)?|true|false|null))"
)  # it changes no object, or a number


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
