"""filled.csv, and on the console: the words that may stand at each mask of a text."""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from lightloom.core.screen import show_table
from lightloom.core.text import line
from lightloom.predict.masked_words.predictor import Predictor
from lightloom.predict.tables import Table

log = logging.getLogger("lightloom")
HEADER = ("mask", "word", "probability")


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Fill in the masks of `text=`. See `lightloom.predict.contract`."""
    (masks,) = predictor.predict([str(cfg.text)])
    rows = [(number, line(word), value) for number, words in enumerate(masks, 1) for word, value in words]
    with Table(Path(cfg.paths.output_dir, "filled.csv"), HEADER) as table:
        table.add(rows)
    show_table(HEADER, [(number, word, f"{value:.4f}") for number, word, value in rows], left=2)
    log.info("%d masks: %s", len(masks), table.path)
