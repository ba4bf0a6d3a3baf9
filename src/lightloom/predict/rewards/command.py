"""rewards.csv: both answers of each pair of a file with their scores."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightloom.data.preferences.files import AnswerFiles
from lightloom.predict.rewards.predictor import Predictor
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
HEADER = ("prompt", "chosen", "rejected", "of chosen", "of rejected")


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Score the pairs of `input=`. See `lightloom.predict.contract`."""
    part: Any = AnswerFiles(str(cfg.input)).read("train", 2)
    pairs = [(item.prompt, *item.answers) for item in part.items]
    chosen, rejected = (predictor.predict([(pair[0], pair[place]) for pair in pairs]) for place in (1, 2))
    with Table(Path(cfg.paths.output_dir, "rewards.csv"), HEADER) as table:
        table.add([(*pair, *scores) for pair, *scores in zip(pairs, chosen, rejected, strict=True)])
        table.show()
    right = sum((one > other) + (one == other) / 2 for one, other in zip(chosen, rejected, strict=True))
    log.info("The chosen answer is scored higher in %.1f %% of %d pairs.", 100 * right / len(pairs), len(pairs))
