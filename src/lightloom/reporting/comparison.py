"""Several runs on one page: what they differ in, their figures, their curves, and the spread over seeds."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lightloom.config.diff import MACHINE_KEYS, PATH_KEYS, leaves, matches
from lightloom.core import atomic_io
from lightloom.core.screen import say, show_table
from lightloom.core.text import first_of
from lightloom.reporting import facts
from lightloom.reporting.charts import Chart, Line, chart
from lightloom.reporting.facts import Run
from lightloom.reporting.page import REPORT
from lightloom.reporting.render import figure, option, render
from lightloom.reporting.sections import STAGES

SEEDS = ("seed", "*.seed")
LENGTHS = ("epochs", "train_seconds")
MOST_COLUMNS = 8  # options in which runs differ; the others are counted
MOST_CHARTS = 8


@dataclass(frozen=True)
class Row:
    """One run: options, in the order of the columns; figures by metric; link to its own report, or None."""

    run: Run
    options: list[str]
    figures: dict[str, float]
    group: int
    link: str | None


@dataclass(frozen=True)
class Group:
    """Runs of the same options but for the seed.

    members: what they are called. spread: metric -> (mean, standard deviation or None, n).
    """

    name: str
    number: int
    members: tuple[str, ...]
    spread: dict[str, tuple[float, float | None, int]]

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.members)


def report(folders: Sequence[Path], output: str) -> None:
    """Write report.html into `output` and print the table of groups."""
    runs = [facts.read(folder) for folder in folders]
    path = Path(output) / REPORT
    atomic_io.write_text(path, html(runs, path.parent))
    show(groups(rows(runs, path.parent)[1]), len(runs))
    say(f"Comparison: {path}")


def html(runs: Sequence[Run], output: Path) -> str:
    """The page; its links lead to the runs' own reports, seen from `output`."""
    columns, compared, more = rows(runs, output)
    together = groups(compared)
    return render(
        "comparison.html.jinja",
        spread_text=spread_text,
        title=f"{len(runs)} runs",
        columns=columns,
        rows=compared,
        groups=together,
        spread=any(g.runs > 1 for g in together),
        metrics=metrics(compared),
        more=more,
        charts=curves(compared, together),
    )


# --- what differs


def rows(runs: Sequence[Run], output: Path) -> tuple[list[str], list[Row], int]:
    """The options in which the runs differ, a row for each run, and how many options more there are than columns."""
    identities = [_identity(run) for run in runs]
    numbers = {identity: i for i, identity in enumerate(dict.fromkeys(identities))}
    values, columns, more = differing(runs)
    made = []
    for run, identity, own in zip(runs, identities, values, strict=True):
        link = os.path.relpath(run.folder / REPORT, output) if (run.folder / REPORT).is_file() else None
        texts = ["" if (value := own.get(column)) is None else option(value) for column in columns]
        made.append(Row(run, texts, _figures(run), numbers[identity], link))
    return columns, made, more


def differing(runs: Sequence[Run]) -> tuple[list[dict[str, Any]], list[str], int]:
    """What each run has for the options in which they differ: those of the command line, and where these do not tell
    runs apart that differ, those of the configuration. Then the columns to show, and the number of those left out."""
    values = [_given(run) for run in runs]
    columns = _keys_that_differ(values)
    if not _tell_apart(columns, values, runs):
        configs = [{k: v for k, v in leaves(run.config).items() if not _is_place(k)} for run in runs]
        others = sorted(_keys_that_differ(configs), key=lambda key: (key.count("."), key))
        columns += [k for k in others if k not in columns and (not matches(k, SEEDS) or k == "seed")]
        values = [{**config, **given} for config, given in zip(configs, values, strict=True)]
    return values, columns[:MOST_COLUMNS], max(0, len(columns) - MOST_COLUMNS)


def _keys_that_differ(tables: Sequence[dict[str, Any]]) -> list[str]:
    """Keys under which not all have the same, in the order in which they come; values are compared as JSON."""
    every = dict.fromkeys(key for one in tables for key in one)
    return [key for key in every if len({json.dumps(one.get(key), default=str) for one in tables}) > 1]


def _tell_apart(columns: Sequence[str], values: Sequence[dict[str, Any]], runs: Sequence[Run]) -> bool:
    """Does no row of these columns stand for two runs that differ in more than their seed?"""
    told = {(tuple(own.get(key) for key in columns), _identity(run)) for own, run in zip(values, runs, strict=True)}
    return len({shown for shown, _ in told}) == len(told)


def _given(run: Run) -> dict[str, Any]:
    """The options of the command line, and the seed whoever has set it."""
    pairs = (o.partition("=") for o in run.overrides)
    given = {key.lstrip("+~"): value.strip("'\"") for key, _, value in pairs}
    kept = {key: value for key, value in given.items() if not _is_place(key)}
    return {**kept, "seed": str(run.config.get("seed"))}


def _identity(run: Run) -> str:
    """The same for runs that differ only in their seed, and in where they lie."""
    config = leaves(run.config)
    return json.dumps({k: v for k, v in sorted(config.items()) if not (_is_place(k) or matches(k, SEEDS))}, default=str)


def _is_place(key: str) -> bool:
    return matches(key, (*MACHINE_KEYS, *PATH_KEYS))


# --- figures


def _figures(run: Run) -> dict[str, float]:
    found = {name: value for name, value in run.metrics.items() if isinstance(value, int | float)}
    best = run.best()
    if best and not run.finished:
        found[f"best {run.monitor}"] = best[0]
    return found | {name: run.results[name] for name in LENGTHS if name in run.results}


def metrics(compared: Sequence[Row]) -> list[str]:
    """The figures that most runs have come first; of a detector's classes none."""
    counted = Counter(name for row in compared for name in row.figures if "_of_" not in name)
    return sorted(counted, key=lambda name: (name in LENGTHS, -counted[name], not name.startswith("best")))


def groups(compared: Sequence[Row]) -> list[Group]:
    """Runs that differ only in their seed, together, with the mean and the sample's standard deviation."""
    made = []
    for number in dict.fromkeys(row.group for row in compared):
        own = [row for row in compared if row.group == number]
        spread = {}
        for metric in metrics(own):
            values = [row.figures[metric] for row in own if metric in row.figures]
            spread[metric] = _spread(values)
        made.append(Group(_label(own, compared), number, tuple(_called(row.run) for row in own), spread))
    return made


def _called(run: Run) -> str:
    """The run's name; with its folder's, a time, where that is another."""
    return run.name if run.name == run.folder.name else f"{run.name}/{run.folder.name}"


def _spread(values: Sequence[float]) -> tuple[float, float | None, int]:
    """Mean, standard deviation of the sample and n; of counts that are all the same that count, which has no spread."""
    if isinstance(values[0], int) and len(set(values)) == 1:
        return values[0], None, len(values)
    spread = stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None
    return fmean(values), spread, len(values)


def _label(own: Sequence[Row], compared: Sequence[Row]) -> str:
    """The options that set these runs apart from the others; the run's name where none does."""
    return " ".join(_options_in_common(own, compared)) or own[0].run.name


def _options_in_common(own: Sequence[Row], compared: Sequence[Row]) -> list[str]:
    given = [_given(row.run) for row in own]
    others = [_given(row.run) for row in compared]
    common = {k: v for k, v in given[0].items() if k != "seed" and all(g.get(k) == v for g in given)}
    return [f"{k}={v}" for k, v in common.items() if any(o.get(k) != v for o in others)]


# --- curves


def curves(compared: Sequence[Row], together: Sequence[Group]) -> list[Chart]:
    """A chart for each metric of validation, then of training; a colour is a group."""
    names = {group.number: group.name for group in together}
    counted = Counter(name for row in compared for name, curve in row.run.curves.items() if len(curve.values) > 1)
    monitored = {row.run.monitor for row in compared}
    order = sorted(counted, key=lambda n: (n not in monitored, -_stage(n), n.endswith("/lr"), n))[:MOST_CHARTS]
    return [chart(name, _lines(name, compared, names), "step") for name in order]


def _lines(metric: str, compared: Sequence[Row], names: dict[int, str]) -> list[Line]:
    with_metric = [row for row in compared if metric in row.run.curves]
    found = [(row, row.run.curves[metric]) for row in with_metric]
    return [Line(names[row.group], curve.steps, curve.values, row.group) for row, curve in found]


def _stage(metric: str) -> int:
    stage = metric.partition("/")[0]
    return STAGES.index(stage) if stage in STAGES else -1


def show(together: Sequence[Group], count: int) -> None:
    """The groups as a table on the console, each with its first figures."""
    first = list(dict.fromkeys(metric for group in together for metric in list(group.spread)[:3]))[:3]
    rows = [
        (group.name, first_of(group.members, 3), group.runs, *(spread_text(group.spread.get(name)) for name in first))
        for group in together
    ]
    show_table(("options", "runs", "n", *first), rows, f"{count} runs", left=2)


def spread_text(spread: tuple[float, float | None, int] | None) -> str:
    """`0.9893 ± 0.0012`; without a spread where there is one run."""
    if spread is None:
        return ""
    mean, deviation, _ = spread
    return figure(mean) if deviation is None else f"{figure(mean)} ± {figure(deviation)}"
