"""Show how samples of fixed noise changed over a run: a strip and a film."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor

from lightloom.callbacks.samples.grid import FOLDER
from lightloom.core.ranges import Count
from lightloom.ops.images.grid import captioned, grid, read_png, tiles, write_gif, write_png
from lightloom.ops.indices import evenly
from lightloom.ops.typed_trainer import typed

FILM_PAGES, FILM_SECONDS = 40, 8.0


class Filmstrip(pl.Callback):
    """Writes filmstrip.png and filmstrip.gif into `dirpath`, from the pages that `SampleGrid` has left there.

    So that of a resumed run is whole. The strip has a row for each of some images of a page and a column for each of
    some epochs; the film shows the whole page.
    """

    only_shows = True  # a run that is resumed may have it otherwise, or not at all

    def __init__(self, dirpath: str, rows: Count = 6, frames: Count = 10) -> None:
        self.folder, self.rows, self.frames = Path(dirpath), rows, frames

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or typed(trainer).fast_dev_run:
            return
        files = pages_of(self.folder / FOLDER)
        if files:
            shown = [files[i] for i in evenly(len(files), self.frames)]
            write_png(self.folder / "filmstrip.png", strip(shown, self.rows))
            film = [files[i] for i in evenly(len(files), FILM_PAGES)]
            write_gif(self.folder / "filmstrip.gif", [read_png(file)[0] for file in film], FILM_SECONDS)


def pages_of(folder: Path) -> list[Path]:
    """The pages by epoch; only those of the last one's size, which a resumed run may have changed."""
    files = sorted(folder.glob("epoch-*.png"), key=_epoch)
    return [file for file in files if _size(file) == _size(files[-1])]


def strip(files: list[Path], rows: int) -> Tensor:
    """A page with a column for each file, headed by its epoch, of some of its images, evenly taken."""
    columns = []
    for file in files:
        page, size = read_png(file)
        shown = tiles(page, size["height"], size["width"])
        columns.append(shown[evenly(len(shown), rows)])
    images = torch.stack(columns, dim=1).flatten(0, 1)
    return captioned(grid(images, len(files)), top=[str(_epoch(file)) for file in files])


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def _epoch(file: Path) -> int:
    return int(file.stem.removeprefix("epoch-"))
