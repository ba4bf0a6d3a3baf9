"""A picture that came over a network is the one that predict.py reads from a file, or is refused before it costs."""

import io
import struct
import zlib

import numpy as np
import pytest
from damaged import damaged
from PIL import Image

from lightloom.data.images.decode import read_image, read_whole
from lightloom.predict.pictures import uploads
from lightloom.predict.web import Refused


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def sideways(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif)


BODIES = {
    "png": encoded(noise(50, 30), "PNG"),
    "jpeg": encoded(noise(500, 300), "JPEG"),
    "grey": encoded(noise(40, 40, "L"), "PNG"),
    "palette": encoded(noise(40, 44, "P"), "GIF"),
    "transparent": encoded(noise(33, 40, "RGBA"), "WEBP", lossless=True),
    "turned": sideways(noise(64, 32)),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_file(name, channels, tmp_path):
    path = tmp_path / name
    path.write_bytes(BODIES[name])
    assert np.array_equal(uploads.decoded(BODIES[name], channels, 16).pixels, read_image(path, channels, 16).numpy())
    whole = uploads.decoded(BODIES[name], channels)
    assert np.array_equal(whole.pixels, read_whole(path, channels).numpy())
    assert (whole.height, whole.width) == whole.pixels.shape[1:]


def test_what_is_large_is_made_smaller_and_its_boxes_find_back():
    picture = uploads.decoded(encoded(noise(4000, 1000, "L"), "PNG"), 3)
    assert picture.pixels.shape == (3, uploads.LARGEST // 4, uploads.LARGEST)
    assert picture.scale == (2.5, 2.5)
    turned = uploads.decoded(sideways(noise(3400, 1700)), 3)
    assert (turned.width, turned.height) == (1700, 3400)
    assert turned.pixels.shape[1] == 2 * turned.pixels.shape[2] <= uploads.LARGEST


def bomb(width: int, height: int) -> bytes:
    """A small PNG of many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"", 400, "empty"),
        (b"hello", 422, "no_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "no_picture"),
        (BODIES["jpeg"][:2000], 422, "no_picture"),
        (BODIES["png"][:60], 422, "no_picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 422, "no_picture"),
        (bomb(7000, 7000), 413, "too_many_pixels"),
        (bomb(60_000, 60_000), 413, "too_many_pixels"),
        (encoded(noise(3300, 100, "L"), "PNG"), 422, "too_thin"),
        (b"\0\0\0\x18ftypheic" + bytes(50), 422, "no_picture"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_by_name(body, status, name):
    with pytest.raises(Refused) as refused:
        uploads.decoded(body, 3)
    assert (refused.value.status, refused.value.name) == (status, name)
    assert not {"/", "BytesIO", "="} & set(refused.value.words.split())


def test_no_damage_is_a_fault_of_the_program():
    """Each is read, or refused by name; benchmarks/serving.py sends a thousand to a server."""
    read, refused = 0, 0
    for body in damaged(300):
        try:
            pixels = uploads.decoded(body, 3).pixels
        except Refused as error:
            refused += error.status in (400, 413, 422)
        else:
            assert pixels.size <= 3 * uploads.LARGEST**2
            read += 1
    assert read > 50
    assert read + refused == 300
