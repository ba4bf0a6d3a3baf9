"""Keys to the episodes that an agent plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightloom.modules.ppo import Episodes
from lightloom.predict.contract import Request


class Predictor:
    """What an agent does. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {"num_samples": "num_samples=<how many episodes>"}
    needs = "play, in an environment"
    lacks = "plays no episodes"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.environment = module, module.environment

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "play") and hasattr(module, "environment")

    @torch.inference_mode()
    def predict(self, inputs: Tensor) -> Episodes:
        """The episodes of keys, int64 (B,), each a function of its own."""
        found: Episodes = self.module.play(inputs.to(self.module.device))
        return found.cpu()
