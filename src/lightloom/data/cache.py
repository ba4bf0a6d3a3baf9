"""Decoded images in a file that is mapped into memory: each is decoded once, by the process that meets it first."""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
import torch
from filelock import FileLock
from torch import Tensor

from lightloom.core import atomic_io

log = logging.getLogger("lightloom")
ANOTHER = 600.0  # seconds for another process to make the same file
_OPENED = ("_file", "_pixels", "_checks")


class ImageCache:
    """Some of the uint8 images, all of one shape (C, H, W), that a file has room for.

    The file holds `size` images and then a CRC-32 of each, 0 where an image is not there yet. Processes and runs fill
    it at the same time and without order: they write the same bytes, and an image that is not whole, because its writer
    was killed or has not finished, does not match its checksum. rows: int64 (N,), the places of these images.
    """

    def __init__(self, file: Path, size: int, shape: tuple[int, int, int], rows: Tensor | None = None) -> None:
        self.file, self.size, self.shape = file, size, shape
        self.rows = torch.arange(size) if rows is None else rows
        self.bytes = int(np.prod(shape))
        self.writable = True

    def pick(self, indices: Tensor) -> ImageCache:
        """The images at these indices."""
        return ImageCache(self.file, self.size, self.shape, self.rows[indices])

    def read(self, indices: Tensor) -> tuple[Tensor, list[int]]:
        """uint8 (B, C, H, W), and the positions in this batch of the images that are not there: those are undefined."""
        rows = self.rows[indices].numpy()
        checks = self._checks[rows]
        written = checks != 0
        images = np.empty((len(rows), self.bytes), np.uint8)
        images[written] = self._pixels[rows[written]]
        whole = [bool(check) and zlib.crc32(image.data) == check for image, check in zip(images, checks, strict=True)]
        return torch.from_numpy(images).view(-1, *self.shape), [i for i, there in enumerate(whole) if not there]

    def write(self, index: int, image: Tensor) -> None:
        """Keep the image of this index; where that fails, a warning, and nothing more is kept."""
        if not self.writable:
            return
        row, pixels = int(self.rows[index]), image.numpy().tobytes()
        try:
            os.pwrite(self._file.fileno(), pixels, row * self.bytes)
            check = zlib.crc32(pixels).to_bytes(4, "little")
            os.pwrite(self._file.fileno(), check, self.size * self.bytes + 4 * row)
        except OSError as error:
            self.writable = False
            log.warning("data.cache: no more images are kept in %s (%s).", self.file, error)

    # Opened where it is used: a worker gets this object without them.

    @cached_property
    def _file(self) -> BinaryIO:
        return self.file.open("r+b", buffering=0)

    @cached_property
    def _pixels(self) -> np.ndarray:
        return np.memmap(self.file, np.uint8, "r", shape=(self.size, self.bytes))

    @cached_property
    def _checks(self) -> np.ndarray:
        return np.memmap(self.file, "<u4", "r", offset=self.size * self.bytes, shape=(self.size,))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _OPENED}


def open_cache(paths: Sequence[Path], channels: int, image_size: int, folder: Path) -> ImageCache | None:
    """The cache of these files, decoded to this size; None, with a warning, where its file cannot be made.

    It lies below `folder` and has another name as soon as a file's name, size or time, or the decoder, changes.
    """
    shape = (channels, image_size, image_size)
    cache = ImageCache(folder / f"{fingerprint(paths, shape, PIL.__version__)}.images", len(paths), shape)
    needed = cache.size * (cache.bytes + 4)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=ANOTHER):
            if not cache.file.is_file() or cache.file.stat().st_size != needed:
                _reserve(cache.file, needed)
        cache._file  # noqa: B018  # a file that may not be written is found out here
    except OSError as error:
        log.warning(
            "data.cache: decoded images are not kept, each epoch decodes them anew: their file of %.1f MB in %s cannot "
            "be made (%s); set data.cache_dir to another folder.",
            needed / 1e6,
            folder,
            error,
        )
        return None
    log.info(
        "data.cache: %d images, decoded, have %.1f MB in %s; delete it when you like.",
        len(paths),
        needed / 1e6,
        cache.file,
    )
    return cache


def fingerprint(paths: Sequence[Path], *facts: Any) -> str:
    """A name for these facts and these files as they are now: their paths, sizes and times."""
    digest = hashlib.sha256(repr(facts).encode())
    for path in paths:
        state = path.stat() if path.is_file() else None
        told = f"{state.st_size} {state.st_mtime_ns}" if state else "missing"
        digest.update(f"|{path} {told}".encode("utf-8", "surrogateescape"))  # a name's bytes may be no text
    return digest.hexdigest()[:24]


def faults_unless_known_clean(known: Path | None, look: Callable[[], dict[Path, str]]) -> dict[Path, str]:
    """What a look at files finds wrong, file by file; that it found nothing is remembered in `known`, and it is not
    looked again. A disk that cannot remember it is no reason to end.
    """
    if known and known.is_file():
        return {}
    found = look()
    if known and not found:
        try:
            atomic_io.write_text(known, "")
        except OSError as error:
            log.debug("%s: that all files can be read is not remembered (%s)", known, error)
    return found


def _reserve(file: Path, size: int) -> None:
    """A file of zeros whose room on the disk is taken, so that filling it cannot fill the disk."""
    temporary = file.with_name(f".making-{file.name}")
    try:
        with temporary.open("wb") as opened:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(opened.fileno(), 0, size)
            else:
                opened.truncate(size)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
