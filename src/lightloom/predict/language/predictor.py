"""Prompts to what may come after them; texts to how well they are predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from lightloom.core.errors import UserError
from lightloom.data.language.windows import Stream
from lightloom.data.preferences.ending import end_of
from lightloom.data.vocabulary import kept_in
from lightloom.modules.writing import TOGETHER, answers, continuations, pieces, texts
from lightloom.ops.answers import nats_of
from lightloom.predict.contract import Request

LENGTH = 200  # ids that a notebook gets
WINDOWS = 32  # of a text, at a time


class Predictor:
    """What a language model writes. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {
        "prompt": 'prompt="a text" to be continued',
        "input": "input=<text file | folder of .txt files> for their perplexity, or with against= a file of prompts",
    }
    verbatim = ("prompt",)
    details = ("num_samples",)
    needs = "write, of ids"
    lacks = "writes no text"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.tokens = module, kept_in(data)
        self.block_size = int(data["block_size"])
        self.end = end_of(self.tokens, str(data["end"])) if "end" in data else None  # of an answer; a text has none

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "write") and "block_size" in request.data

    def predict(self, inputs: Sequence[str], seed: int = 0) -> list[str]:
        """What comes after each text, up to its end if it has one: a function of it, the seed, and nothing else."""
        return [texts(self.module, self.tokens, prompt, seed, 1, LENGTH, self.end)[0] for prompt in inputs]

    def streamed(self, prompt: str, seed: int, number: int, count: int, **how: Any) -> Iterator[list[str]]:
        """What each of `number` texts has more, piece by piece. how: see `lightloom.modules.writing`."""
        for first in range(0, number, TOGETHER):
            numbers = range(first, min(first + TOGETHER, number))
            rows = continuations(self.module, self.tokens, prompt, seed, numbers, count, self.end, **how)
            for new in pieces(self.tokens, rows, len(numbers), self.end):
                yield [""] * first + new + [""] * (number - first - len(new))

    def answers(self, prompt: str, seed: int, number: int, count: int, **how: Any) -> list[tuple[str, list[int]]]:
        """The first texts of a seed after a prompt, of `count` ids at most; of answers, no more than the model sees at
        once. See `lightloom.modules.writing.answers`.
        """
        if self.end is not None:
            count = min(count, self._room(prompt))
        return answers(self.module, self.tokens, prompt, seed, number, count, self.end, **how)

    def _room(self, prompt: str) -> int:
        """How many ids of an answer, beside its end, fit with the prompt into what the model sees at once."""
        length = len(self.tokens.encode(prompt))
        if length + 2 > self.block_size:
            raise UserError(
                f"prompt={prompt[:40]!r}: has {length} ids, which leaves no room for an answer within the "
                f"{self.block_size} that the model sees; say a shorter one."
            )
        return self.block_size - length - 1

    @torch.inference_mode()
    def measured(self, text: str) -> tuple[int, float, int]:
        """How many ids of a text are predicted, all but the first; their mean -ln p in nats, and their characters.

        By windows side by side, as an evaluation has them.
        """
        ids = torch.tensor(self.tokens.encode(text), dtype=torch.int64)
        stream, device = Stream.of(ids, self.block_size), self.module.device
        rows = [stream[part, part] for part in torch.arange(len(stream)).split(WINDOWS)]
        nats = [nats_of(self.module(seen.to(device)), following.to(device)).cpu() for seen, following in rows]
        characters = torch.tensor(self.tokens.characters())[ids[1:]].sum()
        return len(ids) - 1, float(torch.cat(nats).mean()) if nats else float("nan"), int(characters)
