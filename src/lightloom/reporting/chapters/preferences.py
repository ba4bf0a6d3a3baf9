"""Models that answer, and what is learned from pairs of answers."""

from __future__ import annotations

from typing import Any

from lightloom.core.run_dir import read_json
from lightloom.data.preferences.kept import FILE, RULE
from lightloom.reporting.chapters.language import few
from lightloom.reporting.charts import Line, chart
from lightloom.reporting.contract import Chapter, Section
from lightloom.reporting.facts import Run
from lightloom.reporting.pictures import Album
from lightloom.reporting.render import render


class Answers(Chapter):
    """What was answered to the same prompts after each epoch, and reward against KL."""

    place = 62
    tasks = ("supervised fine tuning", "preference optimization")
    pipeline = "text-generation"
    example = "prompt='The shy fox was called Ada.' num_samples=4"
    hyperparameters = ("data.block_size", "model.beta")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("vocabulary", run.data.get("vocab_size")), ("block size", run.data.get("block_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Prompts are int64 (B, T), places in a vocabulary of {run.data.get('vocab_size')}; prompt and answer have "
            f"{run.data.get('block_size')} at most."
        )

    def sections(self, run: Run, album: Album) -> list[Section]:
        every = read_json(run.folder / FILE, [], RULE)
        if not every:
            return []
        known = [one for one in every if None not in (one["reward"], one["kl"])]
        points = sorted((one["kl"], one["reward"]) for one in known)
        line = Line("reward", [kl for kl, _ in points], [reward for _, reward in points], 0)
        frontier = chart("reward against KL", [line], "nats an answer") if len(points) > 1 else None
        return [Section("answers", "Answers", render("answers.html.jinja", epochs=few(every), frontier=frontier))]


class Rewards(Chapter):
    """What scores answers."""

    place = 63
    tasks = ("reward modelling",)
    pipeline = "text-classification"
    example = "input=pairs.jsonl"
    hyperparameters = ("data.block_size",)

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("vocabulary", run.data.get("vocab_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Texts are int64 (B, T), places in a vocabulary of {run.data.get('vocab_size')}: prompt, answer and its "
            f"end, 0 from there on; a score of each."
        )
