"""Videos as tensors: files, cameras and streams are read frame by frame, and written as H.264. See `film`."""

from __future__ import annotations

import logging
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count
from lightloom.core.redaction import redact
from lightloom.tracking.film import ENCODING as ENCODING
from lightloom.tracking.film import FilmReader, FilmWriter, Frame, libraries, upright

log = logging.getLogger("lightloom")
DEADLINE = 30.0  # seconds for a stream that broke off to come again


class VideoReader(FilmReader):
    """The frames of a video file as tensors, uint8 (3, H, W)."""

    def _picture(self, frame: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(upright(frame))).permute(2, 0, 1)


class Camera(VideoReader):
    """The frames of a camera, for as long as it gives any. index: from 0, as the system counts its cameras."""

    is_live = True

    def __init__(self, index: int, stride: Count = 1) -> None:
        self.index, self.name, self.stride = index, f"camera {index}", stride
        source, options = camera_source(index)
        self._open(source, self._refusal, **options)

    def _refusal(self, reason: str) -> str:
        return (
            f"input={self.index}: camera {self.index} cannot be opened ({reason}); connect it, name another one by its "
            f"index, or name a video file."
        )


class Stream(VideoReader):
    """The frames of an address that PyAV opens: rtsp, rtmp, http and others.

    A live one, which states no length, is opened again where it breaks off, for up to `DEADLINE` seconds; the time of
    its frames goes on meanwhile. A file at an address is read as any file.
    """

    def __init__(self, address: str, stride: Count = 1) -> None:
        self.address, self.name, self.stride = address, redact(address), stride
        self._connect()

    def _connect(self) -> None:
        is_rtsp = self.address.lower().startswith("rtsp")
        self._open(self.address, self._refusal, options={"rtsp_transport": "tcp"} if is_rtsp else {})
        self.is_live = self.is_endless

    def _refusal(self, reason: str) -> str:
        return f"input={self.name}: the stream cannot be opened ({reason}); check the address, and that it is served."

    def __iter__(self) -> Iterator[Frame]:
        begun, offset, count, last = time.monotonic(), 0.0, 0, 0.0
        while True:
            for frame in super().__iter__():
                count, last = count + 1, offset + frame.seconds
                yield Frame(frame.image, last)
            if not self.is_live:
                return
            if not self._connect_again():
                self.fault = f"{self.name}: broke off after {count} frames, and not found again in {DEADLINE:g} s."
                return
            offset = max(time.monotonic() - begun, last + 1 / float(self.rate))

    def _connect_again(self) -> bool:
        log.warning("%s: broke off; trying again for %g s.", self.name, DEADLINE)
        until, pause = time.monotonic() + DEADLINE, 0.5
        while time.monotonic() + pause < until:
            time.sleep(pause)
            pause *= 2
            try:
                self._connect()
                return True
            except UserError:
                continue
        return False


def camera_source(index: int) -> tuple[str, dict[str, Any]]:
    """What `av.open` takes for the camera of this index, on Linux, macOS and Windows."""
    system = platform.system()
    if system == "Darwin":
        return f"{index}:none", {"format": "avfoundation", "options": {"framerate": "30"}}
    if system == "Windows":
        devices = libraries().device.enumerate_input_devices("dshow")
        names = [device.name for device in devices if "video" in device.media_types]
        if index >= len(names):
            raise UserError(f"input={index}: there is no camera {index}; Windows knows {', '.join(names) or 'none'}.")
        return f"video={names[index]}", {"format": "dshow"}
    return f"/dev/video{index}", {"format": "v4l2"}


class VideoWriter(FilmWriter):
    """An .mp4 file of frames that are tensors, uint8 (3, H, W)."""

    def _pixels(self, image: Tensor) -> np.ndarray:
        return image.permute(1, 2, 0).numpy()


def open_video(where: Path | str, stride: int = 1) -> VideoReader:
    """Every `stride`-th frame of a video file, or of the camera of an index or the stream of an address."""
    if isinstance(where, Path):
        return VideoReader(where, stride)
    return Camera(int(where), stride) if where.isdecimal() else Stream(where, stride)


def name_of(where: Path | str) -> str:
    """A name for what is written of a video: the file's, the camera's, or the stream's host and path."""
    if isinstance(where, Path):
        return where.stem
    if where.isdecimal():
        return f"camera_{where}"
    address = urlsplit(where)
    return "_".join(re.findall(r"[\w-]+", f"{address.hostname}{address.path}"))
