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
        rows = [self.ids(prompt, answer) for prompt, answer in inputs]
        found: list[float] = []
        for first in range(0, len(rows), TOGETHER):
            ids = as_batch(rows[first : first + TOGETHER]).to(self.module.device)
            found += self.module(ids).tolist()
        return found

    def ids(self, prompt: str, answer: str) -> list[int]:
        """Those of both and the end; UserError where they are more than the model sees."""
        found = [*self.tokens.encode(prompt), *self.tokens.encode(answer), self.end]
        if len(found) > self.block_size:
            raise UserError(
                f"the answer {answer[:40]!r} with its prompt has {len(found)} ids, and the reward model sees "
                f"{self.block_size}; leave it out, or train one with a larger data.block_size."
            )
        return found
