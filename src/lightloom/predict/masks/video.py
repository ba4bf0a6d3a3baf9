"""What `predict.py` does with a model of masks and a film: masks steadied, drawn and measured, frame after frame."""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from lightloom.callbacks.masks.overlays import overlaid
from lightloom.config.foreign import plain
from lightloom.core.atomic_io import deduplicate
from lightloom.core.errors import UserError, raise_all
from lightloom.core.screen import show_table
from lightloom.predict.images.sources import Sources
from lightloom.predict.interruption import until_interrupted
from lightloom.predict.masks.areas import HEADER, areas, region_of
from lightloom.predict.masks.predictor import Predictor
from lightloom.predict.tables import Table
from lightloom.tracking.video import VideoReader, VideoWriter, name_of, open_video

log = logging.getLogger("lightloom")


class Steady:
    """Exponential smoothing of probabilities (K, H, W): p <- alpha p + (1 - alpha) of those before."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self._before: Tensor | None = None

    def update(self, found: Tensor) -> Tensor:
        self._before = found if self._before is None else self._before.lerp(found, self.alpha)
        return self._before


class Flicker:
    """The mean share of pixels whose class changes from one frame to the next."""

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self._changed: list[float] = []

    def update(self, mask: Tensor) -> None:
        if self._before is not None:
            self._changed.append(float((mask != self._before).float().mean()))
        self._before = mask

    @property
    def value(self) -> float:
        return sum(self._changed) / max(len(self._changed), 1)


def segment_videos(cfg: DictConfig, trained: DictConfig, predictor: Predictor, sources: Sources) -> None:
    """Each film in turn, in a folder of its own where there are several."""
    names = deduplicate(name_of(where) for where in sources.videos)
    problems: list[str] = []
    for where, name in zip(sources.videos, names, strict=True):
        folder = Path(cfg.paths.output_dir, *([] if len(names) == 1 else [name]))
        try:
            segment_video(cfg, trained, predictor, open_video(where), folder, name)
        except UserError as error:
            problems += str(error).splitlines()
    raise_all(problems)


def segment_video(
    cfg: DictConfig, trained: DictConfig, predictor: Predictor, reader: VideoReader, folder: Path, name: str
) -> None:
    """`name`.mp4 with the masks, areas.csv with a row for each class of each frame, and how much the masks flicker.

    Ctrl-C ends a camera's or a stream's film.
    """
    classes = plain(trained.data.classes)
    steady, flickers, count = Steady(cfg.alpha), (Flicker(), Flicker()), 0
    with (
        VideoWriter(folder / f"{name}.mp4", reader.rate) as writer,
        Table(folder / "areas.csv", ("frame", "seconds", *HEADER)) as table,
        until_interrupted() as stopped,
    ):
        for frame in reader:
            if stopped():
                break
            (found,) = predictor.probabilities([frame.image])
            mask = steady.update(found).argmax(0)
            for one, flicker in zip((found.argmax(0), mask), flickers, strict=True):
                flicker.update(one)
            rows = areas(mask, classes, cfg.min_area, region_of(cfg.roi, *mask.shape))
            count += 1
            table.add([(count, frame.seconds, *row) for row in rows])
            writer.write(overlaid(frame.image, mask), frame.seconds)
        interrupted = stopped()
    raw, smooth = (f"{100 * flicker.value:.3f} %" for flicker in flickers)
    show_table(("film", "frames", "flicker", f"steadied, alpha {cfg.alpha}"), [(name, count, raw, smooth)], left=1)
    log.info("%d frames: %s.mp4 and areas.csv in %s", count, name, folder)
    if reader.fault:
        raise UserError(reader.fault)
    if interrupted and not reader.is_live:
        raise KeyboardInterrupt
