"""Boxes that may hold an object, proposed for an image and kept in a file for each."""

from __future__ import annotations

import hashlib
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from lightloom.core import atomic_io

log = logging.getLogger("lightloom")
Propose = Callable[[Tensor], Tensor]  # uint8 (C, H, W) -> int16 (N, 4)
EVERY = 20.0  # seconds between two lines of progress


class Images(Protocol):
    """A split, of which an item begins with its image, uint8 (C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, object]: ...


class KeptProposals:
    """What `propose` finds in images, found once: below `folder`, None for nowhere, is a file for each image, called by
    its pixels and by `propose`, as its text says it. Processes and runs share them: they write the same bytes.
    """

    def __init__(self, propose: Propose, folder: Path | None) -> None:
        self.propose = propose
        self.folder = folder / hashlib.sha256(repr(propose).encode()).hexdigest()[:24] if folder else None

    def __call__(self, image: Tensor) -> Tensor:
        """Boxes xyxy, float32 (N, 4), in pixels of the image, uint8 (C, H, W)."""
        file = self._file(image)
        boxes = _read(file)
        if boxes is None:
            boxes = self.propose(image)
            _write(file, boxes)
        return boxes.float()

    def _file(self, image: Tensor) -> Path | None:
        pixels = hashlib.sha256(repr(tuple(image.shape)).encode() + image.contiguous().numpy().tobytes())
        return self.folder / pixels.hexdigest()[:32] if self.folder else None

    def prepare(self, images: Images, indices: Sequence[int], name: str) -> None:
        """Find those of the images at these indices, and say how far it has come. name: of the split."""
        if self.folder is None:
            return
        begun = told = time.monotonic()
        for done, index in enumerate(indices, 1):
            self(images[index][0])
            if time.monotonic() - told > EVERY or (done == len(indices) and told > begun):
                told = time.monotonic()
                log.info("Proposals of %s: %d of %d images, kept in %s.", name, done, len(indices), self.folder)


def recall(proposals: Sequence[Tensor], truths: Sequence[Tensor], overlaps: Sequence[float]) -> list[float]:
    """The share of all truths that some proposal of their image overlaps by at least each of `overlaps` (IoU).

    proposals (N, 4), truths (G, 4): of each image, xyxy. NaN where there is no truth.
    """
    pairs = zip(proposals, truths, strict=True)
    best = torch.cat([box_iou(t.float(), p.float()).amax(1) if len(p) else t.new_zeros(len(t)) for p, t in pairs])
    return [float((best >= overlap).float().mean()) for overlap in overlaps]


def _read(file: Path | None) -> Tensor | None:
    """int16 (N, 4), where the file is whole: a CRC-32 and the boxes."""
    try:
        content = file.read_bytes() if file else b""
    except OSError:
        return None
    check, boxes = content[:4], content[4:]
    if len(check) < 4 or len(boxes) % 8 or zlib.crc32(boxes).to_bytes(4, "little") != check:
        return None
    return torch.from_numpy(np.frombuffer(boxes, "<i2").astype(np.int16)).view(-1, 4)


def _write(file: Path | None, boxes: Tensor) -> None:
    if file is None:
        return
    content = boxes.numpy().astype("<i2").tobytes()
    try:
        with atomic_io.replacing(file, synced=False) as opened:
            opened.write(zlib.crc32(content).to_bytes(4, "little") + content)
    except OSError as error:
        log.debug("%s: the proposals of an image are not kept (%s)", file, error)
