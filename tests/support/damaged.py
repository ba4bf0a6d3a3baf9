"""Pictures as nobody should send them: cut, with flipped bits, with other sizes in their heads, or none at all."""

import io
import random
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

FORMS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
OTHERS = (
    b"",
    b"\0" * 1000,
    b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    b"<!doctype html><script>alert(1)</script>",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    b"PK\3\4" + b"\0" * 60,
    b"P6 999999999 999999999 255\n",
    b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0" * 30,
    b"\x89PNG\r\n\x1a\n" + b"\xff" * 60,
    b"\xff\xd8\xff\xe0" + b"\xff" * 60,
    b"II*\0" + b"\xff" * 60,
    b"RIFF\xff\xff\xff\xffWEBPVP8L" + b"\xff" * 60,
)


def whole() -> list[bytes]:
    """One picture of noise of each form."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    bodies = []
    for form in FORMS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        bodies.append(file.getvalue())
    return bodies


def damaged(count: int, seed: int = 0) -> Iterator[bytes]:
    """So many, the same for the same seed."""
    draw, good = random.Random(seed), whole()
    for _ in range(count):
        body = bytearray(draw.choice(good))
        way = draw.randrange(5)
        if way == 0:
            yield draw.choice(OTHERS)
        elif way == 1:
            yield bytes(body[: draw.randrange(len(body))])
        elif way == 2:
            for _ in range(draw.choice((1, 10, 100))):
                body[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
            yield bytes(body)
        elif way == 3:  # sizes stand in the first bytes
            at = draw.randrange(2, 40)
            body[at : at + 4] = draw.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\xff\xff"))
            yield bytes(body)
        else:
            other = draw.choice(good)
            cut = draw.randrange(len(body))
            yield bytes(body[:cut]) + other[draw.randrange(len(other)) :]
