"""Agents in environments."""

from __future__ import annotations

from typing import Any

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class Environments(Chapter):
    """How many episodes an agent had to learn from, and how to see it act."""

    place = 70
    tasks = ("control",)
    pipeline = "reinforcement-learning"
    example = "num_samples=4"
    hyperparameters = ("model.discount", "model.decay", "model.clip", "model.epochs", "model.minibatches")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("actions", run.data.get("actions")), ("episodes of an epoch", run.data.get("train_size"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"What is seen of a state is float32 (B, {run.data.get('observations')}); logits are of "
            f"{run.data.get('actions')} actions."
        )
