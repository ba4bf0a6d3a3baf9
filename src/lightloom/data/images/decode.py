"""An image file becomes a uint8 tensor of the size and channels that the data set states."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.limits import check_pixels, check_plain
from lightloom.data.images.pixels import mode_of, to_channels

BAND = 256  # rows of a large picture that are converted together
Source = Path | str | BinaryIO  # a file by its name, or an open one that `str` names


def plain_file(source: Source) -> Source:
    """The source; UserError where it is the name of what has no end, such as a pipe or a device."""
    if isinstance(source, Path | str):
        check_plain(Path(source))
    return source


def read_image(path: Source, channels: int, image_size: int) -> Tensor:
    """Decode, turn upright (EXIF), scale the short side to `image_size` and crop the centre.

    Returns uint8 (channels, image_size, image_size). Scaling is bilinear with antialiasing; an image that has the size
    already keeps its pixels. Raises UserError for a file that is missing, truncated or not an image.
    """
    mode_of(channels)
    try:
        with open_image(path, image_size) as image:
            upright = to_channels(ImageOps.exif_transpose(image), channels)
    except UserError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        raise UserError(f"{path}: cannot be read as an image ({error}); replace the file or delete it") from error
    fitted = ImageOps.fit(upright, (image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted)).view(image_size, image_size, channels).permute(2, 0, 1).contiguous()


def read_whole(path: Source, channels: int) -> Tensor:
    """An image file as uint8 (channels, H, W), upright (EXIF), any of Pillow's modes; UserError where it is broken."""
    try:
        with Image.open(plain_file(path)) as image:
            check_pixels(path, *image.size)
            ImageOps.exif_transpose(image, in_place=True)
            return pixels_of(to_channels(image, channels), channels)
    except UserError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        raise UserError(f"{path}: cannot be read as an image ({error}); replace the file or delete it") from error


def pixels_of(image: Image.Image, channels: int) -> Tensor:
    """uint8 (channels, H, W) of a grey or RGB image, some rows at a time: of a large one each copy is a large one."""
    pixels = torch.empty(channels, image.height, image.width, dtype=torch.uint8)
    for top in range(0, image.height, BAND):
        bottom = min(top + BAND, image.height)
        rows = torch.from_numpy(np.array(image.crop((0, top, image.width, bottom))))
        pixels[:, top:bottom] = rows.view(bottom - top, image.width, channels).permute(2, 0, 1)
    return pixels


@contextmanager
def open_image(path: Source, image_size: int) -> Iterator[Image.Image]:
    """The file, not yet decoded; UserError where more pixels would be than may be. JPEG decodes at 1/2, 1/4 or 1/8.

    Twice the `image_size` that is needed keeps the quality, and is less work.
    """
    with Image.open(plain_file(path)) as image:
        image.draft(None, (2 * image_size, 2 * image_size))
        check_pixels(path, *image.size)
        yield image
