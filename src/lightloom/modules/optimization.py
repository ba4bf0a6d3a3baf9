"""How an algorithm asks for its optimizer and schedule."""

from __future__ import annotations

import math
import sys

import pytorch_lightning as pl


def total_steps(trainer: pl.Trainer) -> int:
    """Optimizer steps of the whole run, from the datamodule's `num_train_batches` and the trainer's limits.

    `trainer.estimated_stepping_batches` would build the loaders early, which breaks exact resume (Lightning #20550).
    """
    batches = trainer.datamodule.num_train_batches  # type: ignore[attr-defined]
    limit = trainer.limit_train_batches
    if limit is not None:
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
    steps = per_epoch * trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else math.inf
    return int(min(steps, trainer.max_steps if trainer.max_steps > 0 else math.inf, sys.maxsize))
