"""Pictures inside a page: data addresses, so that one file is all there is to keep or to send."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lightloom.core.limits import check_bytes, check_pixels

MOST_BYTES = 700_000  # of one picture; a larger file is written anew as JPEG
TOTAL_BYTES = 3_500_000  # of a page; what comes later is only linked
DESCRIPTION = "Description"  # the text of a PNG that says what it shows
PIXELATED = 600  # pixels: a narrower picture is shown enlarged, its pixels as squares


@dataclass(frozen=True)
class Picture:
    """source: a data address, or None where the page is full already. size: (width, height) in pixels."""

    source: str | None
    size: tuple[int, int]
    file: str
    name: str = ""

    @property
    def pixelated(self) -> bool:
        return self.size[0] < PIXELATED


class Album:
    """The pictures of one page, of a run's folder, within TOTAL_BYTES."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.left = folder, TOTAL_BYTES

    def add(self, file: str, name: str = "", most: int = MOST_BYTES) -> Picture | None:
        """A picture of the folder in `most` bytes, called `name` or as it says itself.

        None where there is no such file, or none that can be read.
        """
        path = self.folder / file
        if not path.resolve().is_relative_to(self.folder.resolve()):
            return None
        try:
            check_bytes(path)
            with Image.open(path) as opened:
                check_pixels(path, *opened.size)
                size, content, form = opened.size, path.read_bytes(), "PNG"
                name = name or str(opened.info.get(DESCRIPTION) or path.stem.replace("_", " "))
                if len(content) > most:
                    content, form = _jpeg(opened, most), "JPEG"
        except Exception:  # decoders raise OSError, SyntaxError, struct.error and more
            return None
        if len(content) > self.left:
            return Picture(None, size, file, name)
        self.left -= len(content)
        return Picture(f"data:{Image.MIME[form]};base64,{base64.b64encode(content).decode()}", size, file, name)


def _jpeg(picture: Image.Image, most: int) -> bytes:
    """As JPEG, reduced until it has `most` bytes or less."""
    picture = picture.convert("RGB")
    while True:
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=85)
        if written.tell() <= most or max(picture.size) < 64:
            return written.getvalue()
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))
