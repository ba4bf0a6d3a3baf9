"""Images to masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightloom.data.images.datamodule import to_float
from lightloom.data.masks.datamodule import fitted
from lightloom.predict.contract import Request
from lightloom.predict.masks.tiles import segment_tiled


class Predictor:
    """The class of each pixel. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {"input": "input=<image | folder | glob | video>"}
    needs = "segment, of images"
    lacks = "makes no masks"
    formats = ("coco", "coco_results")

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.side = module, data.get("image_size")

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "segment") and request.data.get("kind") == "segmentation"

    def predict(self, inputs: Sequence[Tensor], tile: int | None = None, overlap: float = 0.2) -> list[Tensor]:
        """Masks uint8 (H, W) of images (C, H, W) in [0, 1] or uint8, each at its own size.

        tile: the side of the tiles that larger pictures are cut into, each at the size that the model sees.
        """
        if tile is None:
            return [found.argmax(0).to(torch.uint8) for found in self.probabilities(inputs)]
        return [self._tiled(image, tile, overlap) for image in inputs]

    @torch.inference_mode()
    def probabilities(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """(K, H, W) of each image."""
        seen = [to_float(fitted(image, self.side)).to(self.module.device) for image in inputs]
        return [found.cpu() for found in self.module.segment(seen, [image.shape[-2:] for image in inputs])]

    @torch.inference_mode()
    def _tiled(self, image: Tensor, tile: int, overlap: float) -> Tensor:
        def scores(part: Tensor) -> Tensor:
            (found,) = self.module.segment([to_float(part).to(self.module.device)])
            return found.clamp(min=1e-12).log()  # type: ignore[no-any-return]

        seen = fitted(image, self.side)
        mask = segment_tiled(seen, scores, tile, overlap)
        if mask.shape == image.shape[-2:]:
            return mask
        return interpolate(mask[None, None].float(), image.shape[-2:], mode="nearest")[0, 0].to(torch.uint8)
