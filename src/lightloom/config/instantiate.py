"""Instantiate a configuration: check every constructor's options first, and report all mistakes together."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

from lightloom.config.annotations import option_rule
from lightloom.config.foreign import plain
from lightloom.config.source import is_library, may_state_facts
from lightloom.core.errors import UserError, causes, did_you_mean, message_of, raise_all, slip

REFUSALS = (ValueError, TypeError, FileNotFoundError, ModuleNotFoundError)  # of constructors
OWN_OPTIONS = {"trainer.loop", "data.state_sha256"}  # which stand among those of a class, and are not handed to it
KEYWORDS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def build(cfg: Any, where: str, **extra: Any) -> Any:
    """Instantiate `cfg`, found at the key `where`; a constructor's ValueError or TypeError becomes a UserError."""
    check_targets(cfg, where)
    raise_all(_empty_options(cfg, where))
    try:
        return _instance({**plain(cfg), **extra}, where)
    except InstantiationException as error:
        if said := next((cause for cause in causes(error) if isinstance(cause, UserError)), None):
            raise said from error
        if refusal := next(filter(_is_refusal, causes(error)), None):
            raise UserError(f"{where}: {' '.join(str(refusal).split())}") from error
        raise


def build_datamodule(cfg: DictConfig) -> Any:
    """The datamodule of `data`. Facts that the configuration states and somebody's class does not take become its
    attributes, where it has no such; so does what stands there of a state, in any class.
    """
    target = str(cfg["_target_"])
    takes = _options(import_target(target)) if may_state_facts("data", target) else None
    keys = [str(key) for key in cfg]
    known = keys if takes is None else [*KEYWORDS, *takes]
    facts = [key for key in keys if key not in known or f"data.{key}" in OWN_OPTIONS]
    datamodule = build(OmegaConf.masked_copy(cfg, [key for key in keys if key not in facts]), "data")
    for fact in facts:
        if getattr(datamodule, fact, None) is None:
            setattr(datamodule, fact, plain(cfg[fact]))
    return datamodule


def _instance(node: Any, where: str) -> Any:
    """The object of a plain node that has a `_target_`, those inside it first; what has none holds such objects.

    As Hydra's `instantiate` does it, which would read the texts of the node as interpolations, twice.
    """
    if isinstance(node, list):
        return [_instance(child, f"{where}.{i}") for i, child in enumerate(node)]
    if not isinstance(node, dict):
        return node
    options = {key: _instance(child, f"{where}.{key}") for key, child in node.items()}
    if "_target_" not in node:
        return options
    given = {str(key): value for key, value in options.items() if key not in KEYWORDS}
    target, arguments = import_target(str(node["_target_"])), options.get("_args_") or ()
    try:
        return functools.partial(target, *arguments, **given) if node.get("_partial_") else target(*arguments, **given)
    except Exception as error:
        raise InstantiationException(f"{where}: {node['_target_']} could not be built: {error!r}") from error


def _is_refusal(cause: BaseException) -> bool:
    return isinstance(cause, REFUSALS) or _is_impossible(cause) or _is_lightnings(cause)


def _is_lightnings(cause: BaseException) -> bool:
    """Is it how Lightning refuses an option? By name, for its class cannot be had without torch."""
    return type(cause).__name__ == "MisconfigurationException"


def _is_impossible(cause: BaseException) -> bool:
    """Is it what torch raises for a layer that cannot be, rather than for a machine that has too little?"""
    return type(cause) is RuntimeError and message_of(cause) is None


def check_targets(cfg: Any, where: str) -> None:
    """Raise one UserError for all objects in `cfg` that do not exist or do not take the options they are given."""
    raise_all(_problems(cfg, where))


def targets(cfg: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Each node with a `_target_`, outermost first."""
    items: Any = ()
    if isinstance(cfg, DictConfig | dict):
        if "_target_" in cfg:
            yield where, cfg
        items = cfg.items()
    elif isinstance(cfg, ListConfig | list):
        items = ((i, cfg[i]) for i in range(len(cfg)))  # in a loop, OmegaConf takes a text for a missing value
    for key, value in items:
        yield from targets(value, f"{where}.{key}" if where else str(key))


def _problems(cfg: Any, where: str) -> Iterator[str]:
    for path, node in targets(cfg, where):
        target = str(node["_target_"])
        try:
            found = import_target(target)
        except (ModuleNotFoundError, AttributeError) as error:
            yield f"{path}._target_={target}: there is no such object ({error})."
            continue
        yield from _option_problems(path, node, found)


def _options(found: Any) -> list[str] | None:
    """The names of what a class or function takes; None where it takes anything or does not say."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _option_problems(path: str, node: Any, found: Any) -> Iterator[str]:
    """What is wrong with the options of a node for the class or function that it names, which may not say."""
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return
    given = [str(k) for k in node if k not in KEYWORDS and f"{path}.{k}" not in OWN_OPTIONS]
    takes = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    target, others = str(node["_target_"]), [name for name in given if name not in takes]
    slips = {name: close for name in others if (close := slip(name, takes))}
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):  # any name may be right
        yield from (f"{path}.{name}: did you mean {path}.{close}?" for name, close in slips.items())
    else:
        yield from _unknown_options(path, target, list(slips) if may_state_facts(path, target) else others, takes)
    lacking = [n for n in takes if parameters[n].default is inspect.Parameter.empty and n not in given]
    if lacking and not node.get("_partial_"):
        yield f"{path}: {target} also needs {', '.join(lacking)}; set {path}.{lacking[0]}=..."


def _unknown_options(path: str, target: str, unknown: Sequence[str], takes: Sequence[str]) -> Iterator[str]:
    """A sentence for each option that is unknown, or one for all of those that resemble none."""
    strange = [name for name in unknown if not did_you_mean(name, takes)]
    if len(strange) > 1:
        yield f"{path}: {target} has no options {', '.join(strange)}. It takes {', '.join(takes)}."
    for name in unknown:
        if name not in strange or len(strange) == 1:
            hint = did_you_mean(name, takes) or f" It takes {', '.join(takes)}."
            yield f"{path}.{name}: {target} has no option {name!r}.{hint}"


def _empty_options(cfg: Any, where: str) -> Iterator[str]:
    """Each option that is null, of an object whose annotation, which is text there, allows no None."""
    for path, node in targets(cfg, where):
        target = str(node["_target_"])
        if is_library(target.rpartition(".")[0]):
            continue
        for name, parameter in inspect.signature(import_target(target)).parameters.items():
            is_silent = parameter.annotation is parameter.empty
            if name in node and node[name] is None and not (is_silent or takes_none(parameter)):
                rule = option_rule(target, name)
                kind = rule.expected() if rule else f"a value of type {parameter.annotation}"
                yield f"{path}.{name} is empty; {target} needs {kind}."


def takes_none(parameter: inspect.Parameter) -> bool:
    """Do the annotation or the default say that it may be None?"""
    said = re.search(r"\b(None|Any|Optional)\b", str(parameter.annotation))
    return said is not None or parameter.default is None


def import_target(target: str) -> Any:
    """Import an object by its dotted name.

    Raises ModuleNotFoundError or AttributeError where there is none, and what its module raises when it is imported.
    """
    parts = target.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError as error:
            if error.name and not ".".join(parts[:split]).startswith(error.name):
                raise
            continue
        for part in parts[split:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(f"no module {parts[0]!r}")
