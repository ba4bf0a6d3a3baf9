"""predictions.csv with each image's class, submission.csv for a competition's data, saliency.png where asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from omegaconf import DictConfig

from lightloom.config.foreign import plain
from lightloom.core.cells import is_formula
from lightloom.ops.indices import evenly
from lightloom.predict.classes.heat import Page
from lightloom.predict.classes.predictor import Predictor
from lightloom.predict.faults import Faults
from lightloom.predict.images import batches, open_images
from lightloom.predict.tables import Table, predictions

log = logging.getLogger("lightloom")


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Classify what `input=` or `data=` names. See `lightloom.predict.contract`."""
    images, output = open_images(cfg, trained), Path(cfg.paths.output_dir)
    faults, known, page = Faults(output), plain(trained.data.get("classes")), Page()
    with ExitStack() as stack:
        table = stack.enter_context(predictions(output, ("file", "label", "probability")))
        submission = None
        if images.submission:  # the competition compares its cells as they are
            submission = stack.enter_context(Table(output / "submission.csv", images.submission, exact=True))
        for names, batch in batches(cfg, trained, images, faults):
            best, labels = predictor.predict(batch).max(1)
            called = [known[i] if known else str(i) for i in labels.tolist()]
            table.add(list(zip(names, called, best.tolist(), strict=True)))
            if submission:
                submission.add(list(zip(names, called, strict=True)))
            if cfg.saliency and page.lacks:
                some = evenly(len(batch), page.lacks)
                page.add(*predictor.look(batch[some], cfg.saliency), [f"{called[i]}: {best[i]:.2f}" for i in some])
        table.show()
    if submission:
        tell_submission(submission.path, len(faults.found), (*(known or ()), *(images.ids or ())))
    if page.cells:
        log.info("Where it looks: %s", page.write(output / "saliency.png"))
    faults.finish(table.count)


def tell_submission(path: Path, lacking: int, cells: Sequence[str]) -> None:
    """Say where it is, and what may be wrong with it. lacking: rows. cells: classes and ids that may stand in it."""
    log.info("Submission: %s", path)
    if lacking:
        log.warning("The submission lacks %d of its rows; a competition refuses it so.", lacking)
    if any(map(is_formula, cells)):
        log.warning("The submission has cells that a spreadsheet takes for formulas; open it as text only.")
