"""Texts to the probabilities of their classes, and to the words that decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightloom.data.text.datamodule import as_batch
from lightloom.data.tokens import UNKNOWN
from lightloom.data.vocabulary import kept_in
from lightloom.modules.protocols import classifies
from lightloom.predict.contract import Request

BATCH = 256  # texts at a time


class Predictor:
    """The classes that a classifier of texts was trained on. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {
        "text": 'text="a text"',
        "input": "input=<file of lines | table | folder of .txt files>",
        "data": "data=<data set> for its test texts",
    }
    verbatim = ("text",)
    needs = "predict_step, of texts"
    lacks = "classifies no texts"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module, self.tokens = module, kept_in(data)
        self.max_length = int(data["max_length"])

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return classifies(module) and request.data.get("kind") == "text"

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text as the model sees them: UNKNOWN for an empty one, cut to the length of training."""
        return [self.tokens.encode(text)[: self.max_length] or [UNKNOWN] for text in texts]

    @torch.inference_mode()
    def predict(self, inputs: Sequence[str]) -> Tensor:
        """Probabilities (B, num_classes); those of a text are the same whatever other texts there are, but rounding."""
        found = [self.module.predict_step((batch,), 0).cpu() for batch in self._batches(inputs)]
        return torch.cat(found)

    def words(self, inputs: Sequence[str]) -> list[list[tuple[str, float]]]:
        """Of each text the words that speak for the class that was found, and against it, the weightiest first.

        The weight is gradient times input (Simonyan et al. 2014; Shrikumar et al. 2016): what the difference between
        this class's logit and the mean of all would lose, to first order, if the word's vector became zero. Nothing of
        a model without vectors of words, as an exported one.
        """
        embedding = next((layer for layer in self.module.modules() if isinstance(layer, nn.Embedding)), None)
        if embedding is None:
            return [[] for _ in inputs]
        return [row for batch in self._batches(inputs) for row in self._weighed(batch, embedding)]

    def _batches(self, inputs: Sequence[str]) -> Iterator[Tensor]:
        for begin in range(0, len(inputs), BATCH):
            yield as_batch(self.ids(inputs[begin : begin + BATCH])).to(self.module.device)

    def _weighed(self, ids: Tensor, embedding: nn.Embedding) -> Iterator[list[tuple[str, float]]]:
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), seen_by(embedding) as seen:
            logits = self.module(ids)
            (logits.amax(1) - logits.mean(1)).sum().backward()
        ((places, vectors),) = seen  # a network may have put the ids in another order
        assert vectors.grad is not None
        weights = (vectors.grad * vectors).sum(2).detach().cpu()
        for row, values in zip(places.cpu().tolist(), weights.tolist(), strict=True):
            found: dict[int, float] = {}
            for place, value in zip(row, values, strict=True):
                if place:
                    found[place] = found.get(place, 0.0) + value
            ranked = sorted(found.items(), key=lambda item: (-abs(item[1]), item[0]))
            yield [(self.tokens.decode([place]) or self.tokens.names[place], value) for place, value in ranked]


@contextmanager
def seen_by(embedding: nn.Embedding) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The ids (B, T) that it is asked for meanwhile, and their vectors (B, T, D), leaves of the gradient."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], vectors: Tensor) -> Tensor:
        leaf = vectors.detach().requires_grad_()
        seen.append((inputs[0], leaf))
        return leaf

    handle = embedding.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
