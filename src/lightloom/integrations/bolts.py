"""lightning-bolts 0.7.0, the last release (2023), under Lightning 2.

It declares pytorch-lightning<2, so it is installed with --no-deps (`make` does), and it imports names that Lightning 2
has dropped. `load` lends it these names while it is imported and takes back what it changes for everybody else.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
import urllib.request
import warnings
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from lightloom.core.errors import UserError

VERSION = "0.7.0"


def available() -> bool:
    """Is the one version that this module knows installed?"""
    try:
        return metadata.version("lightning-bolts") == VERSION
    except metadata.PackageNotFoundError:
        return False


def load(module: str) -> types.ModuleType:
    """Import `pl_bolts` or a module below it. Raises UserError where it is not installed."""
    if not available():
        raise UserError(
            f"lightning-bolts=={VERSION} is not installed; `make setup` installs it, or "
            f"pip install --no-deps lightning-bolts=={VERSION} (with its dependencies it would downgrade Lightning)."
        )
    if module in sys.modules:
        return sys.modules[module]
    with _lightning_1_names(), _undone():
        found = importlib.import_module(module)
        # It calls every part of itself unreviewed, at each use; what is offered here is tested here.
        importlib.import_module("pl_bolts.utils.stability")._raise_review_warning = _nothing  # type: ignore[attr-defined]
        return found


def _nothing(*args: Any, **kwargs: Any) -> None:
    """In place of a warning."""


@contextlib.contextmanager
def _lightning_1_names() -> Iterator[None]:
    """Two modules and a class that pl_bolts imports, for the time of its import."""
    import pytorch_lightning as pl
    from lightning_utilities.core.apply_func import apply_to_collection
    from pytorch_lightning.cli import LightningCLI

    lent: dict[str, dict[str, Any]] = {
        "apply_func": {"apply_to_collection": apply_to_collection},
        "cli": {"LightningCLI": LightningCLI},
    }
    for name, content in lent.items():
        module = types.ModuleType(f"pytorch_lightning.utilities.{name}")
        vars(module).update(content)
        sys.modules[module.__name__] = module
    pl.strategies.DataParallelStrategy = type("DataParallelStrategy", (), {})  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in lent:
            del sys.modules[f"pytorch_lightning.utilities.{name}"]
        del pl.strategies.DataParallelStrategy  # type: ignore[attr-defined]


@contextlib.contextmanager
def _undone() -> Iterator[None]:
    """pl_bolts renames types in NumPy, installs a URL opener and prepends warning filters for the whole process."""
    import numpy as np

    names, opener = set(vars(np)), urllib.request._opener  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings(record=True):
            yield
    finally:
        for name in {"object", "bool", "int", "float"} - names:
            vars(np).pop(name, None)
        urllib.request._opener = opener  # type: ignore[attr-defined]
