"""predictions.csv with the labels of each image and their probabilities, or with its numbers."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from lightloom.predict.faults import Faults
from lightloom.predict.images import batches, open_images
from lightloom.predict.tables import predictions
from lightloom.predict.targets.predictor import Predictor


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Tell of what `input=` or `data=` names. See `lightloom.predict.contract`."""
    images, output = open_images(cfg, trained), Path(cfg.paths.output_dir)
    faults, has_tags = Faults(output), hasattr(predictor.module, "thresholds")
    with predictions(output, ("file", *["tags"] * has_tags, *predictor.names)) as table:
        for names, batch in batches(cfg, trained, images, faults):
            found = predictor.predict(batch)
            tags = predictor.tags(found)
            first = [(name, *([tags[i]] if tags else [])) for i, name in enumerate(names)]
            table.add([(*one, *row) for one, row in zip(first, found.tolist(), strict=True)])
        table.show()
    faults.finish(table.count)
