"""`data=auto`: before anything is composed, the layout that a folder has takes the place of the word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightloom.config import compose
from lightloom.config.overrides import values
from lightloom.core import run_dir
from lightloom.core.errors import UserError
from lightloom.core.screen import say

AUTO = "auto"  # of configs/data/auto.yaml


def settle_data(
    overrides: Sequence[str], config_name: str, config_dir: str | None = None, quiet: bool = False
) -> list[str]:
    """The overrides with `data=<layout>` for `data=auto`, which is said unless quiet; UserError where none is known."""
    chosen = [o for o in overrides if _is_auto(o)]
    if not chosen:
        return list(overrides)
    which = [o for o in overrides if o in chosen or o.startswith(("data.root=", "paths"))]
    if chosen[0].partition("=")[2] != AUTO or compose.sweeps(which):
        raise UserError(f"{chosen[0]}: one folder is recognised at a time; name each with data=<name>.")
    if not any(o.startswith("data.root=") for o in which):
        raise UserError("data=auto recognises what lies in a folder; say which: data.root=<folder>.")
    from lightloom.data.auto import recognise  # it brings torch

    match = recognise(Path(compose.compose(config_name, which, config_dir).data.root))
    if not quiet and run_dir.rank() == 0:
        say(f"data=auto: {match.seen}: read as data={match.choice}.")
    return [f"data={match.choice}" if o in chosen else o for o in overrides]


def _is_auto(override: str) -> bool:
    """Is it the choice of a data set, with `auto` among what it names?"""
    key, _, value = override.partition("=")
    return key.lstrip("+") == "data" and (value == AUTO or AUTO in _names(override))


def _names(override: str) -> list[object]:
    parsed, _ = compose.parse([override])
    return [name for one in parsed for name in values(one)] if "," in override else []
