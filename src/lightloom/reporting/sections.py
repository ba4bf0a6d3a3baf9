"""What the page of every run shows: its first figures and its curves."""

from __future__ import annotations

from collections.abc import Mapping

from lightloom.reporting import facts
from lightloom.reporting.charts import Chart, Line, chart
from lightloom.reporting.facts import Run
from lightloom.reporting.render import duration, figure

STAGES = ("train", "val", "test")


def headline(run: Run) -> list[tuple[str, str]]:
    """The figures to see first, with what they are."""
    best = run.best()
    cards = [(f"best {run.monitor}, epoch {best[1] + 1}", figure(best[0]))] if best else []
    tested = [(n, v) for n, v in run.metrics.items() if n.startswith("test/") and "_of_" not in n]
    monitored = run.monitor.rpartition("/")[2]
    tested.sort(key=lambda item: item[0] != f"test/{monitored}")
    cards += [(name, figure(value)) for name, value in tested[:3]]
    if run.train_seconds is not None:
        cards.append(("training time", duration(run.train_seconds)))
    return cards


# --- curves


def learning_curves(run: Run) -> list[Chart]:
    """One chart for each measure, with its stages; the monitored one first, what has one value left out."""
    groups: dict[str, dict[str, facts.Curve]] = {}
    for name, curve in run.curves.items():
        stage, _, measure = name.rpartition("/")
        if len(curve.values) > 1:
            groups.setdefault(measure, {})[stage] = curve
    first = run.monitor.rpartition("/")[2]
    order = sorted(groups, key=lambda measure: (measure != first, "loss" not in measure, measure == "lr", measure))
    return [chart(measure, _lines(groups[measure]), "step") for measure in order]


def _lines(stages: Mapping[str, facts.Curve]) -> list[Line]:
    known = sorted(stages, key=lambda s: (STAGES.index(s) if s in STAGES else len(STAGES), s))
    return [Line(stage, stages[stage].steps, stages[stage].values, _colour(stage, i)) for i, stage in enumerate(known)]


def _colour(stage: str, place: int) -> int:
    return STAGES.index(stage) if stage in STAGES else place + len(STAGES)
