"""Cross-validation as a sweep: which options make each fold of the training data a trial."""

from __future__ import annotations

from typing import Any

from lightloom.core.errors import UserError

SHORT, FOLD = "cross_validate", "data.fold"


def expanded(override: str) -> list[str]:
    """`cross_validate=5` as the options that it is short for; any other option as it is."""
    name, _, count = override.partition("=")
    return ["sweep=cross_validation", f"sweep.folds={count}"] if name == SHORT else [override]


def options(folds: Any) -> list[str]:
    """Those of train.py that make each fold a trial; none without folds. Raises UserError for a wrong number."""
    if folds is None:
        return []
    if not isinstance(folds, int) or isinstance(folds, bool) or folds < 2:
        raise UserError(f"sweep.folds={folds}: expected an integer of at least 2, as in {SHORT}=5.")
    return [f"data.folds={folds}", f"{FOLD}={','.join(map(str, range(folds)))}"]
