"""predictions.csv with the text of each picture, how sure the model is of it, and of each symbol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from lightloom.data.images.decode import read_whole
from lightloom.engine.evaluate import swapped_data
from lightloom.predict.faults import Faults
from lightloom.predict.images.batches import readable
from lightloom.predict.images.sources import find
from lightloom.predict.tables import predictions
from lightloom.predict.text_images.predictor import Predictor

BATCH = 128
HEADER = ("file", "text", "of_each_symbol", "confidence")


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Read the pictures of `input=`, or the test pictures of `data=`. See `lightloom.predict.contract`."""
    faults = Faults(Path(cfg.paths.output_dir))
    with predictions(cfg.paths.output_dir, HEADER) as table:
        for names, read in rounds(cfg, trained):
            for numbers, images in readable(read, names, cfg.batch_size or BATCH, cfg.num_workers, faults):
                found = predictor.predict(images, cfg.beam_width)
                rows = zip(numbers, found, strict=True)
                table.add([(names[i], text, shares(one.confidence), one.probability) for i, (text, one) in rows])
        table.show()
    faults.finish(table.count)


def rounds(cfg: DictConfig, trained: DictConfig) -> Iterator[tuple[Sequence[str], Callable[[int], Tensor]]]:
    """Names of pictures, and how the one of a number is read."""
    if cfg.input is None:
        split = swapped_data(cfg, trained).split("test")
        yield split.names, split.__getitem__
        return
    for paths, names in find(cfg.input, watch=cfg.watch).rounds(cfg.idle):
        yield names, partial(_read, paths, trained.data.channels)


def _read(paths: Sequence[Path], channels: int, number: int) -> Tensor:
    return read_whole(paths[number], channels)


def shares(confidence: Sequence[float]) -> str:
    """Of each symbol, in its order."""
    return " ".join(f"{value:.4f}" for value in confidence)
