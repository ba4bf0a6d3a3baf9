"""Pictures that come over a network, as pixels: looked at before they are decoded. Needs no torch."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from lightloom.core.errors import UserError
from lightloom.core.limits import check_pixels
from lightloom.data.images.pixels import HEIF, to_channels
from lightloom.predict.web import Refused

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *(("HEIF",) if HEIF else ()))
MOST_PIXELS = 16_000_000
THINNEST = 32  # the long side over the short one
LARGEST = 1600  # pixels of the long side that a model of any size is given
QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 (C, H, W), upright, as the model is given them. width, height: of what came, in its pixels."""

    pixels: np.ndarray
    width: int
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """What a place (x, y) in `pixels` is multiplied by, to be one in what came."""
        return self.width / self.pixels.shape[2], self.height / self.pixels.shape[1]


def decoded(body: bytes, channels: int, side: int | None = None) -> Picture:
    """A picture with its long side at `LARGEST` pixels at most, or scaled to `side` and its middle taken as a square,
    as predict.py does with files. Refused where it is none, or has too many pixels. Of a film of pictures the first.
    """
    if not body:
        raise Refused(400, "empty", "Nothing came; send the bytes of a picture.")
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            size = image.size
            image.draft(None, (2 * side, 2 * side) if side else (LARGEST, LARGEST))
            check_pixels("picture", *image.size, MOST_PIXELS)
            _check_shape(*image.size)
            sideways = image.getexif().get(0x0112, 1) >= 5  # turned by a quarter
            upright = to_channels(ImageOps.exif_transpose(image), channels)
    except Refused:
        raise
    except UserError as error:
        raise Refused(
            413, "too_many_pixels", f"The picture has more than {MOST_PIXELS // 10**6} million pixels; make it smaller."
        ) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        raise Refused(422, "no_picture", _unreadable(body)) from error
    width, height = reversed(size) if sideways else size
    if side:
        upright = ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)
    else:
        upright.thumbnail((LARGEST, LARGEST), Image.Resampling.BILINEAR)
    pixels = np.array(upright).reshape(upright.height, upright.width, channels).transpose(2, 0, 1)
    return Picture(np.ascontiguousarray(pixels), width, height)


def centre(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle (C, side, side) of pixels (C, H, W) that are as large or larger."""
    top, left = ((length - side) // 2 for length in pixels.shape[-2:])
    return pixels[..., top : top + side, left : left + side]


def to_float(pixels: np.ndarray) -> np.ndarray:
    """uint8 in [0, 255] to float32 in [0, 1]."""
    return pixels.astype(np.float32) * np.float32(1 / 255)


def png(pixels: np.ndarray) -> str:
    """A data address of pixels, float (C, H, W) in [0, 1]."""
    whole = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    return data_address(Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole))


def data_address(image: Image.Image, form: str = "png") -> str:
    """`data:image/png;base64,...`."""
    file = io.BytesIO()
    image.save(file, form, **({"quality": QUALITY} if form == "jpeg" else {}))
    return f"data:image/{form};base64,{base64.b64encode(file.getvalue()).decode()}"


def _check_shape(width: int, height: int) -> None:
    if max(width, height) > THINNEST * min(width, height):
        raise Refused(
            422, "too_thin", f"One side of the picture is more than {THINNEST} times the other; cut a piece of it."
        )


def _unreadable(body: bytes) -> str:
    if body[4:8] == b"ftyp" and body[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        return "This is a HEIC picture, which is not read here; save it as JPEG, or set the camera to it."
    return "This cannot be read as a picture; send a whole JPEG, PNG, WebP, GIF, BMP or TIFF file."
