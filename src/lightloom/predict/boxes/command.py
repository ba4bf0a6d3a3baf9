"""Boxes in the images of `input=`, or tracks in its video, drawn and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightloom.core.errors import UserError
from lightloom.data.images import readers
from lightloom.predict.boxes.images import detect
from lightloom.predict.boxes.predictor import Predictor
from lightloom.predict.boxes.video import detect_video, is_camera, open_video
from lightloom.predict.images import find_images, relative_names


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Detect in the images of `input=`, or track through its video. See `lightloom.predict.contract`."""
    if is_video(cfg.input):
        reader, name = open_video(cfg.input)
        detect_video(cfg, trained, predictor, reader, name)
        return
    if cfg.truth is not None:
        raise UserError(f"truth={cfg.truth}: it is of a video's tracks, and input={cfg.input} is none; leave it out.")
    paths = find_images(str(cfg.input))
    detect(cfg, trained, predictor, paths, relative_names(str(cfg.input), paths))


def is_video(where: Any) -> bool:
    """Is `input=` a camera's index or a file that is no image?"""
    path = Path(str(where)).expanduser()
    return (
        is_camera(where) or readers.is_video(path) or (path.is_file() and path.suffix.lower() not in readers.SUFFIXES)
    )
