"""Cross-validation: each fold of the training data is left out of training once, and tested on.

Stone 1974, Cross-Validatory Choice and Assessment of Statistical Predictions.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from lightloom.core import atomic_io, cells
from lightloom.core.screen import show_table
from lightloom.sweeps.folds import FOLD
from lightloom.sweeps.metrics import spread
from lightloom.sweeps.plan import Plan
from lightloom.sweeps.trial import RESULTS

log = logging.getLogger("lightloom")
PREDICTIONS = "test_predictions.csv"  # of a run's folder, and of the sweep's
FIGURES = ("test/", "val/")


def report(plan: Plan, trials: Sequence[FrozenTrial], faults: Sequence[str]) -> int:
    """Print each figure's mean and standard deviation over the folds, and join what was predicted of what was left out.

    The exit code: 1 where a fold failed.
    """
    results = [found for trial in trials for found in trial.user_attrs.get(RESULTS, [])]
    names = dict.fromkeys(name for found in results for name in found if name.startswith(FIGURES))
    figures = {name: [found[name] for found in results if name in found] for name in names}
    show_table(("metric", "mean ± sd over folds"), [(n, spread(v)) for n, v in figures.items()], plan.name)
    held_out = _join(plan, trials)
    log.info("Each fold: %s", plan.folder / "trials.csv")
    if held_out:
        log.info("%d predictions of what each run had not seen: %s", held_out, plan.folder / PREDICTIONS)
    if faults:
        log.warning("%d of %d folds failed, the first: %s", len(faults), len(trials), faults[0])
    return 1 if faults else 0


def _join(plan: Plan, trials: Sequence[FrozenTrial]) -> int:
    """Write the tables of all folds as one, with the fold in front; returns its number of rows."""
    text, written = io.StringIO(), 0
    table = cells.Writer(text)
    for trial in sorted(trials, key=lambda known: known.number):
        for path in sorted((plan.folder / "trials" / f"{trial.number:03d}").glob(f"seed-*/{PREDICTIONS}")):
            header, rows = _table(path)
            if not written:
                table.write(["fold", *header])
            table.write(*([trial.params.get(FOLD, ""), *row] for row in rows))
            written += len(rows)
    if written:
        atomic_io.write_text(plan.folder / PREDICTIONS, text.getvalue())
    return written


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    with cells.open_csv(path) as file:
        header, *rows = cells.rows(file)
    return header, rows
