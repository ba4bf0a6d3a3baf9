"""From a configuration to objects: every constructor is asked first, so that all its misspelt options come together."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from lightlab.errors import UserError, did_you_mean, raise_all

TRUSTED = ("lightlab", "torch", "torchvision", "timm", "pytorch_lightning", "torchmetrics")
KEYWORDS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def build(cfg: Any, where: str, **extra: Any) -> Any:
    """Instantiate `cfg`, found at the key `where`; a constructor's ValueError or TypeError becomes a UserError."""
    check_targets(cfg, where)
    try:
        return instantiate(cfg, _convert_="all", **extra)
    except InstantiationException as error:
        cause = error.__cause__
        while cause is not None and cause.__cause__ is not None and not isinstance(cause, UserError):
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from error
        if isinstance(cause, ValueError | TypeError | FileNotFoundError | ModuleNotFoundError):
            raise UserError(f"{where}: {cause}") from error
        raise


def check_targets(cfg: Any, where: str) -> None:
    """Raise one UserError for all objects in `cfg` that do not exist or do not take the options they are given."""
    raise_all(_problems(cfg, where))


def check_trusted(cfg: Any, source: str) -> None:
    """Raise UserError where a configuration from `source`, a file, names an object outside the trusted packages."""
    for where, node in _targets(cfg, ""):
        target = str(node["_target_"])
        if target.partition(".")[0] not in TRUSTED or any(part.startswith("_") for part in target.split(".")):
            raise UserError(
                f"{source}: its configuration asks for {target!r} at {where}, outside the trusted packages "
                f"({', '.join(TRUSTED)}); it is not built. Use checkpoints from people you trust."
            )
        found = _import(target)
        module = getattr(found, "__module__", "") or ""
        if module.partition(".")[0] not in (*TRUSTED, "builtins") or not callable(found):
            raise UserError(f"{source}: {target!r} at {where} leads outside the trusted packages (to {module}); it is not built.")


def _targets(cfg: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Each node with a `_target_`, outermost first."""
    items: Any = ()
    if isinstance(cfg, DictConfig | dict):
        if "_target_" in cfg:
            yield where, cfg
        items = cfg.items()
    elif isinstance(cfg, ListConfig | list):
        items = enumerate(cfg)
    for key, value in items:
        yield from _targets(value, f"{where}.{key}" if where else str(key))


def _problems(cfg: Any, where: str) -> Iterator[str]:
    for path, node in _targets(cfg, where):
        target = str(node["_target_"])
        try:
            found = _import(target)
        except (ModuleNotFoundError, AttributeError) as error:
            yield f"{path}._target_={target}: there is no such object ({error})."
            continue
        yield from _option_problems(path, node, found)


def _option_problems(path: str, node: Any, found: Any) -> Iterator[str]:
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return
    given = [str(k) for k in node if k not in KEYWORDS]
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    takes = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in given:
        if name not in takes and not open_ended:
            hint = did_you_mean(name, takes) or f" It takes {', '.join(takes)}."
            yield f"{path}.{name}: {node['_target_']} has no option {name!r}.{hint}"
        elif name not in takes and (close := difflib.get_close_matches(name, takes, n=1, cutoff=0.8)):
            yield f"{path}.{name}: did you mean {path}.{close[0]}?"
    if node.get("_partial_"):
        return
    required = [n for n in takes if parameters[n].default is inspect.Parameter.empty]
    lacking = [n for n in required if n not in given]
    if lacking:
        yield f"{path}: {node['_target_']} also needs {', '.join(lacking)}; set {path}.{lacking[0]}=..."


def _import(target: str) -> Any:
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


def plain(cfg: Any) -> Any:
    """Dictionaries, lists and values only, with every interpolation resolved."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg
