"""What a model of language says of answers whose prompts are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

IGNORE = -100  # a target that is none


def targets_of(ids: Tensor, starts: Tensor, padding: int = 0) -> Tensor:
    """The id after each of ids (..., T) but the last, (..., T - 1), where it is of an answer or its end; else IGNORE.

    starts: int64, of a shape that broadcasts to (...): where answers begin; what comes before is prompt.
    """
    places = torch.arange(ids.shape[-1], device=ids.device)
    asked = (places >= starts[..., None]) & (ids != padding)
    return torch.where(asked, ids, IGNORE)[..., 1:]


def nats_of(logits: Tensor, targets: Tensor) -> Tensor:
    """-ln p of each id that is asked for, float32 (N,), in their order. logits: (B, T, vocab_size); targets: (B, T)."""
    asked = targets != IGNORE
    return cross_entropy(logits[asked].float(), targets[asked], reduction="none")


def log_probabilities(network: Any, ids: Tensor, starts: Tensor) -> Tensor:
    """ln pi(y|x) of each answer, float32 (...): summed over its ids and its end. ids, starts: see `targets_of`.

    network: ids (B, T) to logits (B, T, vocab_size) of the id after each.
    """
    targets = targets_of(ids, starts).flatten(0, -2)
    logits = network(ids[..., :-1].flatten(0, -2)).float()
    nats = cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=IGNORE)
    return -nats.sum(1).view(ids.shape[:-1])


def last_places(ids: Tensor, padding: int = 0) -> Tensor:
    """Where the last real id of each row (..., T) stands, int64 (...), never padding."""
    places = torch.arange(ids.shape[-1], device=ids.device)
    return torch.where(ids != padding, places, 0).amax(-1)
