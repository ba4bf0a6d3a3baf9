"""Images to boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from lightloom.data.images.datamodule import to_float
from lightloom.modules.protocols import Detects
from lightloom.predict.boxes.options import Format
from lightloom.predict.contract import Request
from lightloom.predict.images.batches import by_shape

WAYS = {"input": "input=<image | folder | glob | list | video | stream | camera index>"}


class Predictor:
    """What a detector finds. See `lightloom.predict.contract`."""

    ways = WAYS
    needs = "detect, of images"
    lacks = "finds no objects"
    formats = get_args(Format)

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module = module

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return isinstance(module, Detects)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """For each image (C, H, W) in [0, 1] or uint8, of any size, its boxes (N, 4) xyxy in pixels, labels from 1,
        scores, and masks where the module makes any.
        """
        return by_shape(self._detect, inputs)

    def _detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        device = self.module.device
        found = self.module.detect([to_float(image.to(device)) for image in images])
        return [{name: values.cpu() for name, values in one.items()} for one in found]
