"""predictions.csv with each image's class, and submission.csv for a competition's data."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from lightloom.predict.classes.predictor import Predictor
from lightloom.predict.images import batches, open_images
from lightloom.predict.tables import write_csv, write_predictions

log = logging.getLogger("lightloom")


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Classify what `input=` or `data=` names. See `lightloom.predict.contract`."""
    images, output = open_images(cfg, trained), Path(cfg.paths.output_dir)
    probabilities = torch.cat([predictor.predict(batch) for batch in batches(cfg, trained, images)])
    best, labels = probabilities.max(1)
    classes = list(trained.data.get("classes") or map(str, range(probabilities.shape[1])))
    rows = list(zip(images.names(len(best)), [classes[i] for i in labels.tolist()], best.tolist(), strict=True))
    write_predictions(output, ("file", "label", "probability"), rows)
    if images.submission:
        path = output / "submission.csv"
        write_csv(path, images.submission, [row[:2] for row in rows])
        log.info("Submission: %s", path)
