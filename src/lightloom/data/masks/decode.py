"""A mask file becomes the class of each pixel, whatever program has written it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.core.limits import check_pixels
from lightloom.data.images.decode import Source, plain_file

IGNORE = 255  # what a pixel is in memory that counts for nothing
Colour = tuple[int, int, int]


def read_mask(path: Source, colours: Sequence[Colour] = ()) -> np.ndarray:
    """The values of a mask, int64 (H, W): places in its palette, levels of grey, or places among `colours`.

    A palette's colours are for the eye alone. Colours without `colours`, more than 16 bits and what cannot be read
    raise UserError with the file's name.
    """
    try:
        with Image.open(plain_file(path)) as image:
            check_pixels(path, *image.size)
            values, form = np.asarray(image), image.format
    except UserError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        raise UserError(f"{path}: cannot be read as a mask ({error}); replace the file") from error
    if values.dtype.kind == "f":
        raise UserError(f"{path}: its pixels are floats; save the mask with 8 or 16 bits")
    if values.ndim == 3:
        return _of_colours(path, values[..., :3], colours)
    values = values.astype(np.int64)
    return _without_grey(path, values) if form == "JPEG" else values


def _of_colours(path: object, pixels: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    if not colours:
        if (pixels == pixels[..., :1]).all():  # grey, saved as colour
            return pixels[..., 0].astype(np.int64)
        found = np.unique(pixels.reshape(-1, 3), axis=0)[:4].tolist()
        raise UserError(
            f"{path}: a mask in colours ({', '.join(map(str, found))}, ...), which say no class; name a CSV of "
            f"name,r,g,b with data.colours=<file>, or save indices"
        )
    codes = pixels.astype(np.int64) @ [65536, 256, 1]
    known = np.array([r * 65536 + g * 256 + b for r, g, b in colours])
    order = known.argsort()
    places = order[np.searchsorted(known[order], codes).clip(max=len(known) - 1)]
    wrong = known[places] != codes
    if wrong.any():
        y, x = (int(at[0]) for at in wrong.nonzero())
        raise UserError(
            f"{path}: the pixel at x={x}, y={y} is {tuple(pixels[y, x].tolist())}, a colour that data.colours has not; "
            f"add it there, or save the mask without smoothing (PNG, not JPEG)"
        )
    return places


def _without_grey(path: object, values: np.ndarray) -> np.ndarray:
    """JPEG smears borders: of black and white it is known what they were, of other classes it is not."""
    far = (values > 64) & (values < 191)
    if values.max(initial=0) < 191 or far.mean() > 0.05:
        raise UserError(f"{path}: a JPEG, whose compression changes classes at borders; save masks as PNG")
    return np.where(values >= 128, 255, 0)


def to_classes(values: np.ndarray, num_classes: int, ignore: int, binary: bool, path: object) -> np.ndarray:
    """uint8 (H, W): classes from 0, IGNORE where the mask has `ignore`. binary: 255 is class 1, as 0 is class 0.

    UserError names a value that is neither.
    """
    if binary:
        values = np.where(values == 255, 1, values)
    found = np.where(values == ignore, IGNORE, values) if not (binary and ignore == 255) else values
    wrong = (found != IGNORE) & ((found < 0) | (found >= num_classes))
    if wrong.any():
        raise UserError(
            f"{path}: has the value {int(found[wrong][0])} ({int(wrong.sum()):,} pixels), but classes are 0 to "
            f"{num_classes - 1} and data.ignore is {ignore}; mend the mask, or set data.num_classes=null or data.ignore"
        )
    return found.astype(np.uint8)


def translate(values: np.ndarray, classes: Mapping[int, int]) -> np.ndarray:
    """Each value by a table; what it has not is IGNORE."""
    table = np.full(max(int(values.max(initial=0)), *classes) + 1, IGNORE, np.int64)
    table[list(classes)] = list(classes.values())
    return table[values]
