"""Pictures to their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightloom.data.images.datamodule import to_float
from lightloom.data.text_images.alphabet import decoded
from lightloom.data.text_images.fitting import stacked
from lightloom.ops.ctc import Reading
from lightloom.predict.contract import Request


class Predictor:
    """The text of each picture. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {"input": "input=<image | folder | glob>", "data": "data=<data set> for its test images"}
    needs = "read, of pictures of text"
    lacks = "reads no texts"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.alphabet = module, str(data["alphabet"])
        self.height, self.width = int(data["height"]), int(data["width"])

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "read") and request.data.get("kind") == "text_images"

    @torch.inference_mode()
    def predict(self, inputs: Sequence[Tensor], beam_width: int | None = None) -> list[tuple[str, Reading]]:
        """The text of each picture, uint8 (C, H, W) of any size, and what it was read from.

        beam_width: None for the model's own.
        """
        images = to_float(stacked(list(inputs), self.height, self.width).to(self.module.device))
        found = self.module.read(images, beam_width)
        return [(decoded(one.codes, self.alphabet), one) for one in found]
