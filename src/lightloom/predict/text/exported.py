"""A classifier of texts that was exported."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightloom.predict.exported import Exported


class TextClassifier(Exported):
    """Probabilities of ids, int64 (B, T)."""

    use = "classify_texts"

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.answers(batch[0])["probabilities"]
