"""rewards.csv: both answers of each pair of a file with their scores."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightloom.core.errors import UserError
from lightloom.data.preferences.files import AnswerFiles
from lightloom.predict.faults import Faults
from lightloom.predict.rewards.predictor import Predictor
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
HEADER = ("prompt", "chosen", "rejected", "of chosen", "of rejected")


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Score the pairs of `input=`. See `lightloom.predict.contract`."""
    faults = Faults(cfg.paths.output_dir)
    pairs = list(pairs_of(str(cfg.input), predictor, faults))
    if not pairs:
        faults.finish(0)
        raise UserError(f"input={cfg.input}: has no line with two different answers.")
    chosen, rejected = (predictor.predict([(pair[0], pair[place]) for pair in pairs]) for place in (1, 2))
    with Table(Path(cfg.paths.output_dir, "rewards.csv"), HEADER) as table:
        table.add([(*pair, *scores) for pair, *scores in zip(pairs, chosen, rejected, strict=True)])
        table.show()
    right = sum((one > other) + (one == other) / 2 for one, other in zip(chosen, rejected, strict=True))
    log.info("The chosen answer is scored higher in %.1f %% of %d pairs.", 100 * right / len(pairs), len(pairs))
    faults.finish(len(pairs))


def pairs_of(where: str, predictor: Predictor, faults: Faults) -> Iterator[tuple[str, str, str]]:
    """Prompt and both answers of each line of a file. What is no pair, or longer than the model sees, is noted."""
    part: Any = AnswerFiles(where).read("train", 2, skip=faults.add)
    for note in part.notes:
        log.warning("%s: %s.", where, note)
    for item in part.items:
        with faults.noted(item.where):
            for answer in item.answers:
                predictor.ids(item.prompt, answer)
            yield item.prompt, *item.answers
