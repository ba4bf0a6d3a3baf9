"""Texts of a language model: what may come after a prompt, each a function of the seed and its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from lightloom.data.preferences.ending import ended
from lightloom.data.tokens import RESERVED, UNKNOWN, Tokenizer
from lightloom.modules.protocols import Writes
from lightloom.ops.rng import mix_tensor, uniforms

PART = "\ufffd"  # of a character, as it is decoded
TOGETHER = 8  # texts; always so many, for with others sums may be taken in another order


def beginning(tokens: Tokenizer, prompt: str) -> list[int]:
    """The ids of a prompt; of an empty one that of a new line, or the first of the vocabulary."""
    known = [i for i in tokens.encode("\n") if i != UNKNOWN]
    return tokens.encode(prompt) or known or [min(tokens.reserved, len(tokens) - 1)]


def continuations(
    module: Writes,
    tokens: Tokenizer,
    prompt: str,
    seed: int,
    numbers: Sequence[int],
    count: int,
    end: int | None = None,
    **how: Any,
) -> Iterator[list[int]]:
    """The next id of each of these texts, `count` times, or until all have had their end. numbers: of the texts of a
    seed, TOGETHER at most. how: see `language_model.written`.
    """
    rows = torch.tensor([*numbers, *[0] * (TOGETHER - len(numbers))])
    keys = mix_tensor(seed, rows)
    prompts = torch.tensor(beginning(tokens, prompt)).expand(TOGETHER, -1).to(module.device)
    draws = uniforms(keys, count).to(module.device)
    reserved = tokens.reserved if end is None else len(RESERVED)  # the end may be reserved, and must be drawn
    running = set(range(len(numbers)))
    for chosen in module.write(prompts, draws, reserved=reserved, **how):
        found = chosen[: len(numbers)].tolist()
        yield found
        running -= {i for i in running if found[i] == end}
        if not running:
            return


def texts(
    module: Writes,
    tokens: Tokenizer,
    prompt: str,
    seed: int,
    number: int,
    count: int,
    end: int | None = None,
    **how: Any,
) -> list[str]:
    """The first TOGETHER texts of a seed, or fewer, without the prompt, up to their end. See `continuations`."""
    rows = list(continuations(module, tokens, prompt, seed, range(number), count, end, **how))
    return [tokens.decode(ended(list(ids), end)) for ids in zip(*rows, strict=True)]


def answers(
    module: Writes, tokens: Tokenizer, prompt: str, seed: int, number: int, count: int, end: int | None, **how: Any
) -> list[tuple[str, list[int]]]:
    """The first `number` texts of a seed after a prompt, up to their end: as they read, and their ids with the end."""
    found: list[tuple[str, list[int]]] = []
    for first in range(0, number, TOGETHER):
        numbers = range(first, min(first + TOGETHER, number))
        rows = list(continuations(module, tokens, prompt, seed, numbers, count, end, **how))
        for ids in map(list, zip(*rows, strict=True)):
            kept = ended(ids, end)
            found.append((tokens.decode(kept), ids[: len(kept) + 1]))
    return found


def pieces(tokens: Tokenizer, rows: Iterable[list[int]], number: int, end: int | None = None) -> Iterator[list[str]]:
    """Of `number` texts that grow by an id each what is new, by pieces that stay as they are: a character is given when
    all of its ids are there. end: the id with which a text is whole.
    """
    known: list[list[int]] = [[] for _ in range(number)]
    said = [""] * number
    for row in rows:
        for ids, one in zip(known, row, strict=True):
            ids.append(one)
        now = [tokens.decode(ended(ids, end)) for ids in known]
        whole = [text if not text.endswith(PART) else before for text, before in zip(now, said, strict=True)]
        yield [text[len(before) :] for text, before in zip(whole, said, strict=True)]
        said = whole
    yield [tokens.decode(ended(ids, end))[len(before) :] for ids, before in zip(known, said, strict=True)]
