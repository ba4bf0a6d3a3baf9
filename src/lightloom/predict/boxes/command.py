"""Boxes in the images of `input=`, and tracks in its videos, drawn and as files."""

from __future__ import annotations

from omegaconf import DictConfig

from lightloom.core.errors import UserError, raise_all
from lightloom.predict.boxes.images import detect
from lightloom.predict.boxes.predictor import Predictor
from lightloom.predict.boxes.video import detect_videos
from lightloom.predict.images.sources import find


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Detect in the images of `input=`, track through its videos. See `lightloom.predict.contract`."""
    sources = find(cfg.input, videos=True, watch=cfg.watch)
    if cfg.truth is not None and len(sources.videos) != 1:
        raise UserError(
            f"truth={cfg.truth}: it is of one video's tracks, and input={cfg.input} is "
            f"{'several' if sources.videos else 'none'}; leave it out."
        )
    problems: list[str] = []
    for kind, do in ((sources.videos, detect_videos), (sources.images or sources.watched, detect)):
        try:
            if kind:
                do(cfg, trained, predictor, sources)
        except UserError as error:
            problems += str(error).splitlines()
    raise_all(problems)
