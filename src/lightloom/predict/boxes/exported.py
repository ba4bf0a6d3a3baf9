"""A detector that was exported."""

from __future__ import annotations

from torch import Tensor

from lightloom.predict.exported import Exported


class Detector(Exported):
    """Boxes of images (C, H, W) of any size, one after another."""

    use = "find"

    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return [self.answers(image) for image in images]
