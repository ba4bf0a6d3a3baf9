"""Rewards that a program gives to texts: what is learned from them can be measured, for what they want is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.parts import part
from lightloom.core.ranges import Count, checked


class Reward(Protocol):
    """How good each answer to its prompt is: float32 (B,), the more the better, of any scale."""

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Tensor: ...


@part
class Share:
    """How many among `per` characters of an answer are one of `letters`, large or small; of an empty one 0: (B,)."""

    @checked
    def __init__(self, letters: str = "aeiou", per: Count = 10) -> None:
        if not letters:
            raise UserError("letters of a reward are none; name some, as in letters=aeiou.")
        self.letters, self.per = {*letters.lower()}, per

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Tensor:
        found = [sum(c in self.letters for c in answer.lower()) / max(len(answer), 1) for answer in answers]
        return torch.tensor(found) * self.per


@part
class Length:
    """By how much of `target` an answer's characters are off, negative: 0 is best, an empty one has -1: (B,)."""

    @checked
    def __init__(self, target: Count = 20) -> None:
        self.target = target

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Tensor:
        return torch.tensor([-abs(len(answer) - self.target) / self.target for answer in answers])


@part
class Occurrences:
    """How often an answer has `text`, large or small, without overlap: (B,)."""

    def __init__(self, text: str) -> None:
        if not text:
            raise UserError("text of a reward is empty; name one, as in text=the.")
        self.text = text.lower()

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Tensor:
        return torch.tensor([float(answer.lower().count(self.text)) for answer in answers])
