"""What capabilities have in common that are given pictures of a model's own size. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightloom.core.errors import UserError
from lightloom.predict.pictures.uploads import Picture, decoded
from lightloom.predict.web import Alone, Stream, Takes


class Square:
    """Reads a picture as predict.py reads files."""

    takes: Takes = "picture"
    streams = False

    def __init__(self, facts: Mapping[str, Any]) -> None:
        for fact in ("channels", "image_size"):
            if facts.get(fact) is None:
                raise UserError(f"The data of the model states no {fact}; pictures cannot be read as it takes them.")
        self.channels, self.side = int(facts["channels"]), int(facts["image_size"])
        self.classes = list(facts.get("classes") or ())
        self.read_side = round(self.side / (facts.get("crop") or 1.0))

    def read(self, body: bytes, options: Mapping[str, Any]) -> Picture:
        """See `lightloom.predict.web`."""
        return decoded(body, self.channels, self.read_side)

    def follow(self, options: Mapping[str, Any], is_film: bool) -> Stream:
        """See `lightloom.predict.web`."""
        return Alone()
