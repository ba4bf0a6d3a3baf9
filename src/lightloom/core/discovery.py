"""Parts that are found by convention: a file in its place is enough, and no table names it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from lightloom.core.errors import UserError


def discover(package: str, pattern: str) -> list[ModuleType]:
    """The modules below a package whose file matches a glob (`*.py`, `*/predictor.py`), in the order of their paths.

    Raises UserError where one of them cannot be imported.
    """
    places = [Path(place) for place in importlib.import_module(package).__path__]
    files = {path.relative_to(place).with_suffix("") for place in places for path in place.glob(pattern)}
    return [_import(".".join((package, *file.parts))) for file in sorted(files) if file.name != "__init__"]


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        raise UserError(
            f"{name} cannot be imported ({' '.join(str(error).split())}); mend it, or delete it."
        ) from error
