"""The gate: what comes from a file is built by `build_trusted` only, and only parts of models and their data.

A part is a class or function marked with `core.parts.part`, one of FUNCTIONS, or a class derived from one of the BASES
and defined where these are at home. docs/security.md says what is judged, and why.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from lightloom.config.foreign import plain
from lightloom.config.instantiate import KEYWORDS, build, import_target
from lightloom.config.untrusted import nodes
from lightloom.core.errors import UserError, message_of
from lightloom.core.parts import PARTS
from lightloom.core.places import OWN_PACKAGES

OPEN_ENDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
TRUSTED = ("lightloom", "torch", "torchvision", "timm", "pytorch_lightning", "torchmetrics")
BASES: dict[str, tuple[type, ...]] = {  # where a class is defined: what it must be derived from
    **{
        f"lightloom.{room}.": (nn.Module, Optimizer, LRScheduler, pl.Callback, pl.LightningDataModule)
        for room in ("callbacks", "data", "integrations", "losses", "metrics", "modules", "networks", "optim")
    },
    "torch.nn.": (nn.Module,),
    "torch.optim.": (Optimizer, LRScheduler),
    "torchvision.models.": (nn.Module,),
    "torchvision.ops.": (nn.Module,),
    "torchvision.transforms.": (nn.Module,),
    "timm.layers.": (nn.Module,),
    "timm.models.": (nn.Module,),
    "timm.optim.": (Optimizer,),
    **{f"torchmetrics.{task}.": (Metric,) for task in ("classification", "regression", "segmentation", "detection")},
    "pytorch_lightning.callbacks.": (pl.Callback,),
}
FUNCTIONS = ("timm.optim.create_optimizer_v2",)  # of libraries, each looked at: its words choose among its own tables
NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
# Words in the names of options by which something outside the process is reached; of a library none is given.
OUTSIDE = re.compile(
    r"(?:^|_)(paths?|files?|filenames?|dirs?|dirpath|directory|folders?|root|urls?|uri|address|host|port|repo|hub|ckpt|"
    r"checkpoint|cache|cfg|config|weights|download|module|target|import|package|command)(?:_|$)"
)


def build_trusted(
    cfg: Any, where: str, source: str, trust: str | Sequence[str] = (), make: Callable[[Any], Any] | None = None
) -> Any:
    """Build what a file asks for, a configuration that stands at `where` in `source`, once all of it is found to be
    trusted.

    make: how, of the configuration; by default as `build` does. Raises UserError where something in it is not to be
    trusted, or does not let itself be built.
    """
    check_trusted(cfg, source, trust)
    try:
        return make(cfg) if make else build(cfg, where)
    except Exception as error:  # a constructor that is handed what a stranger has written raises what it pleases
        if message_of(error) is not None or trust:  # of one's own classes a fault is shown where it is
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(f"{source}: its {where} cannot be built ({reason}); it is damaged, or not ours.") from error


def check_trusted(cfg: Any, source: str, trust: str | Sequence[str] = ()) -> None:
    """Raise UserError where a configuration from `source`, a file, names an object that is no part of a model or its
    data, or hands a part something that reaches outside.

    trust: packages beside our own, of which the user has said that what they define may be used. What a file itself
    says of `trust` gives it none.
    """
    own = packages(trust)
    for where, node in nodes(plain(cfg), source):  # as it is built: what `literal` has hidden is shown
        if "_target_" in node:
            check_object(node, source, where, own)


def packages(trust: str | Sequence[str] | None) -> tuple[str, ...]:
    """What `trust` names, one package or several, and those that the project's own pyproject.toml does."""
    return (*OWN_PACKAGES, *((trust,) if isinstance(trust, str) else map(str, trust or ())))


def check_object(node: Mapping[str, Any], source: str, where: str, own: Sequence[str] = ()) -> None:
    """Raise UserError where the object that a mapping with a `_target_` asks for may not be built with its options."""
    target = node["_target_"]
    found = _found(target, source, where, own)
    if _is_defined_in(found, own):
        return
    if not is_part(found, target):
        raise UserError(f"{source}: {target!r} at {where} is no part of a model or its data; it is not built.")
    check_options(target, node, source, where, own)


def check_options(target: str, given: Mapping[str, Any], source: str, where: str, own: Sequence[str] = ()) -> None:
    """Raise UserError where an object that may be built is given options with which it may not."""
    found = import_target(target)
    for name in options_outside(found, _given(found, given)):
        raise UserError(
            f"{source}: {where}.{name} would have {target} reach outside of the file; it is not built. Leave the "
            "option out, or say it on the command line."
        )
    if address := next(_addresses({key: value for key, value in given.items() if key != "_target_"}), None):
        raise UserError(f"{source}: {where} names the address {address}, which is not fetched; it is not built.")
    if home(found).startswith("lightloom.") and str(given.get("trust")) != "${trust}":
        _check_claims(given.get("trust"), source, where, own)


def options_outside(found: Any, given: Mapping[str, Any]) -> list[str]:
    """Those of the options that reach outside: text under such a name that no part of ours states in its signature.

    What ours may state is looked at in tests/engine/test_trust.py, one by one.
    """
    own = parameters(found) if home(found).startswith("lightloom.") and is_part(found) else {}
    return [name for name in given if name not in own and OUTSIDE.search(name.lower()) and _holds_text(given[name])]


def home(found: Any) -> str:
    """The module that defines an object, and a dot: by where it is, not by the path that leads to it."""
    return f"{getattr(found, '__module__', None)}."


def _found(target: Any, source: str, where: str, own: Sequence[str]) -> Any:
    if not isinstance(target, str) or not NAME.fullmatch(target):
        raise UserError(f"{source}: {str(target)[:80]!r} at {where} is no name of an object; it is not built.")
    package = target.partition(".")[0]
    if package not in (*TRUSTED, *own):
        raise UserError(
            f"{source}: its configuration asks for {target!r} at {where}, outside the trusted packages "
            f"({', '.join(TRUSTED)}); it is not built. Use checkpoints from people you trust; of your own, say "
            f"trust=[{package}]."
        )
    if package not in own and not target.startswith(("lightloom.", *BASES)):  # nothing else is even imported
        raise UserError(f"{source}: {target!r} at {where} is no part of a model or its data; it is not built.")
    try:
        return import_target(target)
    except (Exception, SystemExit) as error:  # modules of libraries that are not installed raise what they please
        raise UserError(f"{source}: {target!r} at {where} is not to be found ({error}); it is not built.") from error


def is_part(found: Any, target: str = "") -> bool:
    """Is it a class or function that may be built?"""
    try:
        if found in PARTS or target in FUNCTIONS:
            return True
    except TypeError:  # it has no hash
        return False
    if not isinstance(found, type):
        return False
    if home(found).startswith("lightloom.") and not PARTS.isdisjoint(found.__mro__):
        return True
    bases = [base for place, its in BASES.items() if home(found).startswith(place) for base in its]
    return issubclass(found, tuple(bases)) and not issubclass(found, Logger)


def _is_defined_in(found: Any, packages: Sequence[str]) -> bool:
    """A class or function of these packages (json.codecs.open of a module that imports json is codecs.open)."""
    return callable(found) and home(found).partition(".")[0] in packages


def parameters(found: Any) -> dict[str, inspect.Parameter]:
    """What it takes by name, with what a class of ours hands on to one of ours; nothing of what does not say."""
    try:
        taken = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return {}
    own = {name: p for name, p in taken.items() if p.kind not in OPEN_ENDED}
    is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
    return (parameters(base) if is_open and (base := _base_of_ours(found)) else {}) | own


def _base_of_ours(found: Any) -> type | None:
    """The class whose constructor gets the rest of a class's options, where both are ours."""
    if not isinstance(found, type) or not home(found).startswith("lightloom."):
        return None
    bases = iter(found.__mro__)
    next((one for one in bases if "__init__" in vars(one)), None)
    base = next((one for one in bases if "__init__" in vars(one)), None)
    return base if base is not None and home(base).startswith("lightloom.") else None


def _given(found: Any, node: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a mapping gives, those without a name under that of their place."""
    unnamed = node.get("_args_")
    placed = zip(parameters(found), unnamed if isinstance(unnamed, list | tuple) else (), strict=False)
    return {**dict(placed), **{str(name): value for name, value in node.items() if name not in KEYWORDS}}


def _holds_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" not in value and any(map(_holds_text, value.values()))
    return any(map(_holds_text, value)) if isinstance(value, list | tuple) else isinstance(value, str)


def _check_claims(claimed: Any, source: str, where: str, own: Sequence[str]) -> None:
    """A part that reads another checkpoint hands its `trust` on."""
    if beyond := [package for package in packages(claimed) if package not in own]:
        raise UserError(
            f"{source}: {where} trusts {', '.join(beyond)}, which only you can; say trust=[{', '.join(beyond)}]."
        )


def _addresses(tree: Any) -> Iterator[str]:
    """The addresses (`http://...`) in a part's own options; what is below another part is looked at there."""
    if isinstance(tree, str) and "://" in tree:
        yield tree[:200]
    elif isinstance(tree, Mapping):
        for child in tree.values() if "_target_" not in tree else ():
            yield from _addresses(child)
    elif isinstance(tree, list | tuple):
        for child in tree:
            yield from _addresses(child)
