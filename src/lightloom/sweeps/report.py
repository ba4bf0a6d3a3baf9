"""Report a sweep: a table on the screen and as CSV, plots, and the best trial's options as an experiment."""

from __future__ import annotations

import io
import logging
import math
import statistics
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from lightloom.config.values import format_value
from lightloom.core import atomic_io, cells
from lightloom.core.errors import UserError
from lightloom.core.redaction import redact_options
from lightloom.core.screen import say, show_table
from lightloom.sweeps import best, cross_validation, plots, space
from lightloom.sweeps.metrics import spread
from lightloom.sweeps.plan import Plan
from lightloom.sweeps.trial import FAULT, RESULTS, SCORES

log = logging.getLogger("lightloom")
SHOWN = 20  # trials on the screen
SECONDS = "train_seconds"


def report(plan: Plan, study: optuna.Study) -> int:
    """Write table, plots and best_<name>.yaml, print the best trials; raises UserError where none succeeded.

    The exit code: 1 where some trials failed, whatever the others came to.
    """
    trials = ranked(plan, study.get_trials())
    atomic_io.write_text(plan.folder / "trials.csv", as_csv([redact_options(row(plan, trial)) for trial in trials]))
    faults = [f"trial {t.number}: {t.user_attrs[FAULT]}" for t in trials if FAULT in t.user_attrs]
    if not trials or trials[0].state != TrialState.COMPLETE:
        raise UserError(f"no trial of sweep {plan.name} has a result; {(faults or ['none was begun'])[0]}")
    if plan.settings["folds"]:
        return cross_validation.report(plan, trials, faults)
    plots.draw(plan, study).savefig(plan.folder / "sweep.png", dpi=110)
    _print(plan, trials)
    score = f"{plan.monitor} {spread(trials[0].user_attrs[SCORES])}"
    path = best.write(plan, values(plan, trials[0]), f"trial {trials[0].number}, {score}")
    log.info("Best: trial %d, %s. The sweep's folder: %s", trials[0].number, score, plan.folder)
    log.info("Its options: %s; train with experiment=%s", path, path.stem)
    if faults:
        log.warning("%d of %d trials failed (trials.csv has why), the first: %s", len(faults), len(trials), faults[0])
    return 1 if faults else 0


def ranked(plan: Plan, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Sort trials, the best first, those without a result last."""
    sign = 1 if plan.mode == "min" else -1
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    return sorted(done, key=lambda t: sign * (t.value or 0.0)) + [t for t in trials if t.state != TrialState.COMPLETE]


def values(plan: Plan, trial: FrozenTrial) -> space.Values:
    """The options of the trial."""
    return space.suggest(optuna.trial.FixedTrial(trial.params), plan.parameters)


def figures(plan: Plan, trial: FrozenTrial) -> dict[str, list[float]]:
    """The results of the trial's runs: the monitored metric, then the test metrics."""
    results: list[dict[str, Any]] = trial.user_attrs.get(RESULTS, [])
    tested = dict.fromkeys(name for result in results for name in result if name.startswith("test/"))
    found = {name: [result[name] for result in results if name in result] for name in tested}
    return {plan.monitor: trial.user_attrs.get(SCORES, []), **found}


def row(plan: Plan, trial: FrozenTrial) -> dict[str, str | float]:
    """A trial as a line of trials.csv: options, then mean and standard deviation over the seeds of each figure."""
    results: list[dict[str, Any]] = trial.user_attrs.get(RESULTS, [])
    told: dict[str, str | float] = {"trial": trial.number, "state": trial.state.name.lower()}
    told |= {p.key: trial.params.get(p.key, "") for p in plan.parameters} | {"runs": len(results)}
    for name, found in figures(plan, trial).items():
        if found:
            told[name] = statistics.mean(found)
            told[f"{name} std"] = statistics.stdev(found) if len(found) > 1 and all(map(math.isfinite, found)) else ""
    seconds = sum(result[SECONDS] for result in results)
    return {**told, SECONDS: round(seconds, 2), FAULT: trial.user_attrs.get(FAULT, "")}


def as_csv(rows: Sequence[dict[str, str | float]]) -> str:
    """Format rows as CSV, with the union of their columns."""
    text = io.StringIO()
    cells.Writer(text).write(*cells.table(list(dict.fromkeys(name for row in rows for name in row)), rows))
    return text.getvalue()


def _print(plan: Plan, trials: Sequence[FrozenTrial]) -> None:
    """The best trials: options, the monitored metric and the test's of that name, seconds."""
    tested = f"test/{plan.monitor.rpartition('/')[2]}"
    metrics = [plan.monitor, *([tested] if tested in figures(plan, trials[0]) else [])]
    rows = []
    for trial in trials[:SHOWN]:
        found, result = figures(plan, trial), row(plan, trial)
        options = [format_value(trial.params[p.key]) if p.key in trial.params else "" for p in plan.parameters]
        results = [spread(found[name]) if found.get(name) else str(result["state"]) for name in metrics]
        rows.append((trial.number, *options, *results, f"{result[SECONDS]:.0f}"))
    columns = ("trial", *(p.name for p in plan.parameters), *metrics, "seconds")
    show_table(columns, rows, f"sweep {plan.name}", left=len(columns))
    if len(trials) > SHOWN:
        say(f"{len(trials) - SHOWN} more in {plan.folder / 'trials.csv'}")
