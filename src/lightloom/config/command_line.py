"""Quote values for the command line. Needs neither Hydra nor torch."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from lightloom.config.foreign import literal
from lightloom.core.errors import UserError
from lightloom.core.places import spoken


def refuse(message: str) -> NoReturn:
    """Raise UserError with the message and where help is to be had."""
    raise UserError(f"{message}; {spoken('<command>')} --help shows how the command line is written.")


def quote(path: Path | str) -> str:
    """A path as a value of Hydra's override grammar, whatever its characters."""
    if (hidden := literal(str(path))) != str(path):
        return hidden
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
