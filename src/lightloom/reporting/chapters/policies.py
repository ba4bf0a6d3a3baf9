"""Policies that learn what to answer from a reward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightloom.reporting.charts import Chart, Line, chart
from lightloom.reporting.contract import Chapter, Section
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render

SCORES = {"val/score": "reward", "val/true_score": "true reward"}


class Policies(Chapter):
    """What a policy gained for the nats that it went from where it began, by the learned and by the true reward."""

    place = 64
    tasks = ("reward maximization",)
    pipeline = "text-generation"
    example = "prompt='The shy fox was called Ada.' num_samples=4"
    hyperparameters = ("model.kl_weight", "model.kl_target", "model.clip", "model.epochs", "model.minibatches")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("vocabulary", run.data.get("vocab_size")), ("prompts of an iteration", run.data.get("batch_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Prompts are int64 (B, T), places in a vocabulary of {run.data.get('vocab_size')}; prompt and answer have "
            f"{run.data.get('block_size')} at most."
        )

    def sections(self, run: Run, album: Album) -> list[Section]:
        found = list(_against_kl(run))
        return [Section("policy", "Reward against KL", render("policy.html.jinja", charts=found))] if found else []


def _against_kl(run: Run) -> Iterator[Chart]:
    """Each reward against the divergence at the same step, where a run has measured two points or more."""
    kl = run.curves.get("val/kl")
    for place, (name, title) in enumerate(SCORES.items()):
        curve = run.curves.get(name)
        if kl is None or curve is None or len(curve.values) < 2:
            continue
        at = dict(zip(kl.steps, kl.values, strict=True))
        points = sorted((at[step], value) for step, value in zip(curve.steps, curve.values, strict=True) if step in at)
        line = Line(title, [nats for nats, _ in points], [value for _, value in points], place)
        if points:
            yield chart(f"{title} against KL", [line], "nats an answer")
