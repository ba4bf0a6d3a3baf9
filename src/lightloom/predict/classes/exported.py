"""A classifier that was exported."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightloom.predict.exported import Exported


class Classifier(Exported):
    """Probabilities of images (B, C, H, W)."""

    use = "classify"

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.answers(batch[0])["probabilities"]
