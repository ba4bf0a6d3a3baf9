"""Texts of a language model: what may come after a prompt, each a function of the seed and its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from lightloom.data.tokens import UNKNOWN, Tokenizer
from lightloom.modules.language_model import LanguageModel
from lightloom.ops.rng import mix_tensor, uniforms

PART = "\ufffd"  # of a character, as it is decoded
TOGETHER = 8  # texts; always so many, for with others sums may be taken in another order


def beginning(tokens: Tokenizer, prompt: str) -> list[int]:
    """The ids of a prompt; of an empty one that of a new line, or the first of the vocabulary."""
    known = [i for i in tokens.encode("\n") if i != UNKNOWN]
    return tokens.encode(prompt) or known or [min(tokens.reserved, len(tokens) - 1)]


def continuations(
    module: LanguageModel,
    tokens: Tokenizer,
    prompt: str,
    seed: int,
    numbers: Sequence[int],
    count: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    cached: bool = True,
) -> Iterator[list[int]]:
    """The next id of each of these texts, `count` times. numbers: of the texts of a seed, TOGETHER at most.

    temperature, top_k, cached: see `LanguageModel.write`.
    """
    rows = torch.tensor([*numbers, *[0] * (TOGETHER - len(numbers))])
    keys = mix_tensor(seed, rows)
    prompts = torch.tensor(beginning(tokens, prompt)).expand(TOGETHER, -1).to(module.device)
    draws = uniforms(keys, count).to(module.device)
    for chosen in module.write(prompts, draws, temperature, top_k, tokens.reserved, cached):
        yield chosen[: len(numbers)].tolist()


def texts(
    module: LanguageModel, tokens: Tokenizer, prompt: str, seed: int, number: int, count: int, **how: Any
) -> list[str]:
    """The first TOGETHER texts of a seed, or fewer, without the prompt. how: see `continuations`."""
    rows = list(continuations(module, tokens, prompt, seed, range(number), count, **how))
    return [tokens.decode(ids) for ids in zip(*rows, strict=True)]


def pieces(tokens: Tokenizer, rows: Iterable[list[int]], number: int) -> Iterator[list[str]]:
    """Of `number` texts that grow by an id each what is new, by pieces that stay as they are: a character is given when
    all of its ids are there.
    """
    known: list[list[int]] = [[] for _ in range(number)]
    said = [""] * number
    for row in rows:
        for ids, one in zip(known, row, strict=True):
            ids.append(one)
        now = [tokens.decode(ids) for ids in known]
        whole = [text if not text.endswith(PART) else before for text, before in zip(now, said, strict=True)]
        yield [text[len(before) :] for text, before in zip(whole, said, strict=True)]
        said = whole
    yield [tokens.decode(ids)[len(before) :] for ids, before in zip(known, said, strict=True)]
