"""Images, and what autoencoders make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightloom.reporting.chapters.images import OfImages
from lightloom.reporting.facts import Run


class Reconstructions(OfImages):
    """What autoencoders leave."""

    place = 20
    tasks = ("reconstruction", "denoising")
    pipeline = "image-feature-extraction"

    def pictures(self, run: Run) -> Mapping[str, str]:
        return {"reconstructions.png": "Test images, and under each row its reconstructions"}

    def pages(self, run: Run) -> Sequence[str]:
        return ("reconstructions",)
