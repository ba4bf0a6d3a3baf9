"""Draw from distributions by numbers that are given, so that a draw is a function of its key."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def drawn(logits: Tensor, uniform: Tensor, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """An id int64 (B,) of each distribution (B, V): where its cumulative probability passes a number of [0, 1), (B,).

    temperature: that logits are divided by; 0 takes the likeliest. top_k: of the so many likeliest only.
    """
    if temperature == 0:
        return logits.argmax(1)
    if top_k is not None and top_k < logits.shape[1]:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -math.inf)
    cumulative = (logits.double() / temperature).softmax(1).cumsum(1)
    passed = torch.searchsorted(cumulative, uniform.double()[:, None] * cumulative[:, -1:], right=True)
    return passed[:, 0].clamp(max=logits.shape[1] - 1)
