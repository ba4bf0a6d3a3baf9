"""reconstructions.png and single files; predictions.csv with each image's mean squared error, in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig

from lightloom.callbacks.samples.grid import COLUMNS
from lightloom.core.atomic_io import deduplicate
from lightloom.ops.images.grid import pairs, to_uint8
from lightloom.predict.faults import Faults
from lightloom.predict.images import ON_A_PAGE, batches, open_images, write_images
from lightloom.predict.reconstructions.predictor import Predictor
from lightloom.predict.tables import predictions


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Reconstruct the inputs of `input=`. See `lightloom.predict.contract`."""
    images, output = open_images(cfg, trained), cfg.paths.output_dir
    faults = Faults(output)
    names: list[str] = []
    before, after = [], []
    with predictions(output, ("file", "mse")) as table:
        for ids, batch in batches(cfg, trained, images, faults):
            seen, again = predictor.predict(batch)
            before.append(to_uint8(seen))
            after.append(to_uint8(again))
            names += ids
            table.add(list(zip(ids, (again - seen).square().flatten(1).mean(1).tolist(), strict=True)))
    if not names:
        faults.finish(0)
        return
    reconstructed = torch.cat(after)
    page = pairs(torch.cat(before)[: ON_A_PAGE // 2], reconstructed[: ON_A_PAGE // 2], COLUMNS)
    write_images(output, "reconstructions", deduplicate(Path(name).stem for name in names), reconstructed, page)
    table.show()
    faults.finish(table.count)
