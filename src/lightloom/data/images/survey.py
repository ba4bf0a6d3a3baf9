"""What each image of a set is like, in figures: sizes, values, and which images are the same or nearly so."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from lightloom.core.documents import read_bytes
from lightloom.core.limits import check_pixels
from lightloom.data.images.decode import open_image, plain_file
from lightloom.data.images.pixels import to_channels
from lightloom.data.shards.index import File
from lightloom.ops.images.grid import to_pil

SIDE = 32  # pixels of the reduced image by which two are compared
MOST_BITS, MOST_LEVELS = 10, 6.0  # by which hashes, and reduced images on the mean, of one picture differ at most
PLAIN = 3.0  # levels of 255: the standard deviation below which an image is of one colour
MOST_PAIRS = 100_000  # of nearly the same images that are looked at
CHUNK, PAIRS = 512, 10_000  # images, and pairs, that are compared at once


@dataclass(frozen=True)
class Look:
    """One image. size: width, height, upright. mean, deviation: of grey levels, 0 to 255; colours: mean and deviation
    of each channel. error: why it cannot be read, and then nothing else is known.
    """

    size: tuple[int, int] = (0, 0)
    form: str = ""
    digest: bytes = b""
    bits: int = 0
    small: np.ndarray | None = None
    colours: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    error: str = ""

    @property
    def deviation(self) -> float:
        return float(self.small.std()) if self.small is not None else 0.0

    @property
    def mean(self) -> float:
        return float(self.small.mean()) if self.small is not None else 0.0


def look_at_files(sources: Sequence[Path | File], channels: int) -> list[Look]:
    """Each file, in their order. The digest is that of its bytes: a copy with other metadata has another."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda source: _look_at_file(source, channels), sources))


def _look_at_file(source: Path | File, channels: int) -> Look:
    try:
        stored = _stored_size(source)
        with open_image(source, 8 * SIDE) as image:
            form = f"{image.format} {image.mode}"
            upright = ImageOps.exif_transpose(image)
            size = stored[::-1] if (upright.size[0] > upright.size[1]) != (stored[0] > stored[1]) else stored
            return _look(to_channels(upright, channels), size, form, _content(source))
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        return Look(error=" ".join(str(error).split()) or type(error).__name__)


def _stored_size(source: Path | File) -> tuple[int, int]:
    """As the header says it: a JPEG that is decoded at a part of its size has another."""
    with Image.open(plain_file(source)) as image:
        check_pixels(source, *image.size)
        return image.size


def _content(source: Path | File) -> bytes:
    if isinstance(source, File):
        return source.getvalue()
    return read_bytes(source)


def look_at_tensor(images: Tensor) -> list[Look]:
    """Each of images in memory, uint8 (N, C, H, W)."""
    sizes = (images.shape[3], images.shape[2])
    return [_look(to_pil(image), sizes, "in memory", image.numpy().tobytes()) for image in images]


def _look(image: Image.Image, size: tuple[int, int], form: str, content: bytes) -> Look:
    values = np.asarray(image, dtype=np.float32).reshape(-1, len(image.getbands()))
    small = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    steps = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BILINEAR), dtype=np.int16)
    bits = int.from_bytes(np.packbits(steps[:, 1:] > steps[:, :-1]).tobytes())
    colours = tuple(map(float, values.mean(0))), tuple(map(float, values.std(0)))
    return Look(size, form, hashlib.sha256(content).digest(), bits, small, colours)


def same(looks: Sequence[Look]) -> list[list[int]]:
    """Groups of indices of images whose contents are equal byte for byte, the largest first."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for i, look in enumerate(looks):
        if not look.error:
            groups[look.digest].append(i)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda group: (-len(group), group))


def nearly_same(looks: Sequence[Look]) -> list[tuple[int, int, float]]:
    """(i, j, levels) of pairs that are one picture in other bytes, scaled or compressed otherwise, the closest first.

    By the signs of horizontal differences at 9 x 8 pixels, then by the mean difference at SIDE x SIDE, in levels of
    255. Images of one colour are left out; of those that are equal one stands for all.
    """
    first: dict[bytes, int] = {}
    for i, look in enumerate(looks):
        if not look.error and look.deviation >= PLAIN:
            first.setdefault(look.digest, i)
    kept = list(first.values())
    if len(kept) < 2:
        return []
    hashes = np.array([looks[i].bits for i in kept], dtype=np.uint64)
    small = np.stack([np.asarray(looks[i].small) for i in kept]).astype(np.float32)
    blocks = small.reshape(-1, 8, SIDE // 8, 8, SIDE // 8).mean((2, 4)).reshape(-1, 64)
    pixels = small.reshape(len(kept), -1)
    found: list[tuple[int, int, float]] = []
    for begin in range(0, len(kept), CHUNK):
        differing = np.bitwise_count(hashes[begin : begin + CHUNK, None] ^ hashes[None, begin:])
        rows, columns = np.nonzero(np.triu(differing <= MOST_BITS, 1))
        rows, columns = rows + begin, columns + begin
        for values in (blocks, pixels):  # means of blocks differ less than the pixels do: most pairs end there
            levels = _differences(values, rows, columns)
            close = levels <= MOST_LEVELS
            rows, columns, levels = rows[close], columns[close], levels[close]
        found += [(kept[i], kept[j], float(d)) for i, j, d in zip(rows, columns, levels, strict=True)]
        if len(found) > MOST_PAIRS:
            break
    return sorted(found, key=lambda pair: (pair[2], pair[:2]))


def _differences(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The mean absolute difference of each pair of rows of `values`, a part of them at a time."""
    parts = [slice(begin, begin + PAIRS) for begin in range(0, len(rows), PAIRS)]
    found = [np.abs(values[rows[part]] - values[columns[part]]).mean(1) for part in parts]
    return np.concatenate(found) if found else np.empty(0, np.float32)


def outliers(looks: Sequence[Look], groups: Sequence[Sequence[int]]) -> dict[int, str]:
    """Index -> why an image is unlike the others: a placeholder, one colour, far smaller, or far longer."""
    good = [look for look in looks if not look.error]
    if not good:
        return {}
    usual_side = float(np.median([min(look.size) for look in good]))
    usual_shape = float(np.median([_elongation(look.size) for look in good]))
    found: dict[int, str] = {}
    for group in groups:
        if len(group) >= 3:
            found |= dict.fromkeys(group, f"the same picture {len(group)} times: a placeholder?")
    for i, look in enumerate(looks):
        if look.error or i in found:
            continue
        if look.deviation < PLAIN:
            found[i] = f"one colour, grey level {look.mean:.0f}"
        elif min(look.size) < usual_side / 4:
            found[i] = f"{look.size[0]} x {look.size[1]} pixels, where others have {usual_side:.0f}"
        elif _elongation(look.size) > 4 * usual_shape:
            found[i] = f"{look.size[0]} x {look.size[1]} pixels: far longer than others"
    return found


def _elongation(size: tuple[int, int]) -> float:
    return max(size) / max(min(size), 1)
