"""Prompts with answers to how good a reward model finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lightloom.core.errors import UserError
from lightloom.data.preferences.ending import end_of
from lightloom.data.text.datamodule import as_batch
from lightloom.data.vocabulary import kept_in
from lightloom.predict.contract import Request

TOGETHER = 32  # answers


class Predictor:
    """Scores of answers. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {"input": "input=<pairs.jsonl> to be scored"}
    needs = "scores, of pairs of answers"
    lacks = "scores no answers"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.tokens = module, kept_in(data)
        self.block_size, self.end = int(data["block_size"]), end_of(self.tokens, str(data["end"]))

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "scores") and "block_size" in request.data

    @torch.inference_mode()
    def predict(self, inputs: Sequence[tuple[str, str]]) -> list[float]:
        """A number for each prompt with its answer; only those of one prompt can be compared."""
        rows = [[*self.tokens.encode(prompt), *self.tokens.encode(answer), self.end] for prompt, answer in inputs]
        if long := [i for i, row in enumerate(rows) if len(row) > self.block_size]:
            raise UserError(
                f"{len(long)} of {len(rows)} answers with their prompts have more than the {self.block_size} ids that "
                f"the reward model sees, the first {inputs[long[0]][1][:40]!r}; leave them out, or train one with a "
                f"larger data.block_size."
            )
        found: list[float] = []
        for first in range(0, len(rows), TOGETHER):
            ids = as_batch(rows[first : first + TOGETHER]).to(self.module.device)
            found += self.module(ids).tolist()
        return found
