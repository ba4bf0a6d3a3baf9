"""Read and write films by PyAV as numpy's pixels: one frame at a time, and H.264 that plays everywhere. No torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from lightloom.core.errors import UserError, install
from lightloom.core.ranges import Count

log = logging.getLogger("lightloom")
CLOCK = 90_000  # ticks per second of what is written: whole numbers for all usual frame rates
RATE = Fraction(30)  # of a source that states none
FASTEST = 300  # frames per second; a file that states more means the ticks of its clock
PATIENCE = 20.0  # seconds without a byte of a file or a camera
# x264's: in less than half of its default preset's time, for files a tenth larger and half a decibel
ENCODING = {"preset": "veryfast", "crf": "18"}


@dataclass(frozen=True)
class Frame:
    """image: as the reader gives it, RGB, upright. seconds: since the first frame."""

    image: Any
    seconds: float


class FilmReader:
    """The frames of a video file, in order, uint8 (H, W, 3); one at a time is held. To be iterated once.

    rate: frames per second as the file states it; count: how many it states, or None. A frame that cannot be decoded is
    left out, one that was mended by the decoder is kept; a warning counts both. `fault` says after the iteration, in
    one sentence, that the file ended before its time. stride: every so manieth frame is given, from the first on.
    """

    is_live = False

    def __init__(self, path: Path, stride: Count = 1) -> None:
        self.name, self.stride = str(path), stride
        self._open(path, self._refusal)

    def _open(self, source: Any, refusal: Any, **options: Any) -> None:
        av = libraries()
        try:
            self._container = av.open(str(source), timeout=PATIENCE, **options)
        except (av.FFmpegError, OSError) as error:
            raise UserError(refusal(error.strerror or str(error))) from error
        if not self._container.streams.video:
            self._container.close()
            raise UserError(refusal("it has no pictures"))
        self._stream = self._container.streams.video[0]
        rates = [r for r in (self._stream.average_rate, self._stream.guessed_rate) if r and r <= FASTEST]
        self.rate = rates[0] if rates else RATE
        self._stated = None if self.is_live else self._seconds()
        estimated = round(self._stated * self.rate) if self._stated and rates else None
        self.count: int | None = self._stream.frames or estimated
        self.fault: str | None = None

    def _refusal(self, reason: str) -> str:
        return f"{self.name}: cannot be read as a video ({reason}); name a video file that plays, or copy it again."

    def _seconds(self) -> float | None:
        """The length that the file states for its pictures; for one that is cut off some formats state less."""
        found = [self._stream.frames / self.rate] if self._stream.frames else []
        if self._stream.duration:
            found.append(self._stream.duration * self._stream.time_base)
        elif self._container.duration and len(self._container.streams) == 1:
            found.append(Fraction(self._container.duration, 1_000_000))
        return float(max(found)) if found else None

    def __iter__(self) -> Iterator[Frame]:
        av = libraries()
        start, number, end = None, 0, 0.0
        damaged: list[int] = []  # numbers of the frames after which or at which something was wrong
        packets = self._container.demux(self._stream)
        reason = None
        try:
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except (av.FFmpegError, OSError) as error:
                    reason = error.strerror or str(error)
                    break
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    damaged.append(number)
                    continue
                for frame in frames:
                    number += 1
                    if frame.is_corrupt:
                        damaged.append(number)
                    at = frame.time if frame.time is not None else (number - 1) / float(self.rate)
                    start = at if start is None else start
                    shown = float(frame.duration * frame.time_base) if frame.duration else 1 / float(self.rate)
                    end = at - start + shown
                    if (number - 1) % self.stride == 0:
                        yield Frame(self._picture(frame), at - start)
        finally:
            self._container.close()
        self._judge(number, end, damaged, reason)

    def _picture(self, frame: Any) -> Any:
        return upright(frame)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, as they are stored."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    @property
    def is_endless(self) -> bool:
        """Does the source state neither a length nor a size?"""
        return not self._container.duration and not (self._container.size or 0) > 0

    @property
    def length(self) -> float | None:
        """Seconds that the file states."""
        return self._stated

    def _judge(self, number: int, end: float, damaged: list[int], reason: str | None) -> None:
        """What is to be said of a file that has been read to its end."""
        if self.is_live:
            self.fault = f"{self.name}: ended after frame {number} ({reason})." if reason else None
            return
        missing = max((self.count or 0) - number, 0)
        if not number:
            self.fault = self._refusal(reason or "no frame of it can be decoded")
        elif reason or self._ends_early(missing, end):
            self.fault = self._truncated(number, end, reason)
        elif missing:
            log.warning("%s: %d of its %d frames could not be read.", self.name, missing, self.count)
        if damaged and number:
            log.warning(
                "%s: damaged at %d place(s), first at frame %d; shown as the decoder mended it, or left out.",
                self.name,
                len(damaged),
                max(damaged[0], 1),
            )

    def _ends_early(self, missing: int, end: float) -> bool:
        """By more than half a frame before the time that the file states; one with all its frames does not."""
        is_whole = self.count and not missing
        return not is_whole and (self._stated or 0) - end > 0.5 / float(self.rate)

    def _truncated(self, number: int, end: float, reason: str | None) -> str:
        stated = f" of {self.count}" if self.count else ""
        why = f" ({reason})" if reason else ""
        return (
            f"{self.name}: ends after frame {number}{stated}, at {end:.2f} s{why}; the file is truncated, copy it "
            f"again. The frames up to there were read."
        )


class FilmWriter:
    """An .mp4 file of H.264 in yuv420p, its index in front so that it plays while it loads.

    Frames are uint8 (H, W, 3); an odd side is continued by a pixel, which H.264 needs. The file appears at `path` when
    it is closed, whole; there is none where no frame was written.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path, self.rate = path, rate
        self._temporary = path.with_name(f".saving-{path.name}")
        self._container: Any = None
        self._last = -1

    def __enter__(self) -> FilmWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()

    def write(self, image: Any, seconds: float) -> None:
        """One frame more, shown from `seconds` on; two frames are at least a tick of the clock apart."""
        av = libraries()
        image = _even(self._pixels(image))
        if self._container is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(
                str(self._temporary), "w", format="mp4", container_options={"movflags": "+faststart"}
            )
            self._stream = self._container.add_stream("h264", rate=self.rate, options=ENCODING)
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, CLOCK)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last = max(round(seconds * CLOCK), self._last + 1)
        frame.pts, frame.time_base, frame.duration = self._last, Fraction(1, CLOCK), round(CLOCK / self.rate)
        self._container.mux(self._stream.encode(frame))

    def _pixels(self, image: Any) -> np.ndarray:
        return np.asarray(image)

    def close(self) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode())
            self._container.close()
            self._container = None
            self._temporary.replace(self.path)


def libraries() -> Any:
    """Import PyAV, needed for videos only."""
    try:
        import av
        import av.device
    except ModuleNotFoundError as error:
        raise UserError(f"PyAV, for videos, is not installed; {install('video')}.") from error
    return av


def upright(frame: Any) -> np.ndarray:
    """A frame's pixels, uint8 (H, W, 3), turned as it says that it is to be shown."""
    turns = round(frame.rotation / 90) % 4
    return np.rot90(frame.to_ndarray(format="rgb24"), turns)


def _even(image: np.ndarray) -> np.ndarray:
    """An odd side is continued by a pixel."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
