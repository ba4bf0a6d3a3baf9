"""Prompts alone, to be answered by a policy: whatever answers a reader has to them are left aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lightloom.data.contract import SPLITS
from lightloom.data.loading import Batches, training_order
from lightloom.data.preferences.answered import Answered, Encoded
from lightloom.data.preferences.datamodule import AnswersDataModule
from lightloom.data.preferences.ending import end_of
from lightloom.data.text.datamodule import as_batch
from lightloom.data.tokens import RESERVED, Tokenizer
from lightloom.data.vocabulary import VOCABULARY
from lightloom.ops.rng import mix, mix_tensor

Batch = tuple[Tensor, Tensor, Tensor]
NO_END = -1  # in place of an id


class Prompts(Encoded):
    """An item is a whole batch: ids int64 (B, P), PAD after the end of each prompt; starts int64 (B,), where answers
    begin; and keys int64 (B,), by which they are drawn: in training those of the order, else each prompt's own.
    """

    def __init__(self, items: Sequence[Answered], tokens: Tokenizer, end: int, keys: Tensor | None = None) -> None:
        super().__init__(items, tokens, end)
        self.keys = keys

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Batch:
        indices, drawn = batch
        starts = self.starts[indices]
        rows = [self.rows[i][0][:start] for i, start in zip(indices.tolist(), starts.tolist(), strict=True)]
        return as_batch(rows)[:, : int(starts.max())].long(), starts, drawn if self.keys is None else self.keys[indices]

    def pick(self, indices: Tensor) -> Prompts:
        items = [self.items[i] for i in indices.tolist()]
        return Prompts(items, self.tokens, self.end, None if self.keys is None else self.keys[indices])


class PromptsDataModule(AnswersDataModule):
    """Prompts, as `Prompts` has them; all else as in AnswersDataModule. end: empty where answers have none."""

    items: ClassVar[str] = "prompts"

    def split(self, name: str) -> Prompts:
        if name not in self.splits:
            items = self.part(name)
            own = mix_tensor(mix(self.seed, SPLITS.index(name)), torch.arange(len(items)))
            found = Prompts(items, self.tokens, self.end_id, None if name == "train" else own)
            self.splits[name] = self.fitting(found, name)
        return self.splits[name]  # type: ignore[return-value]

    @property
    def end_id(self) -> int:
        """The id that ends an answer; NO_END where nothing does."""
        return end_of(self.tokens, self.end) if self.end else NO_END

    @property
    def reserved(self) -> int:
        """So many ids, the first ones, are in no answer; its end may stand after them."""
        return len(RESERVED) if len(RESERVED) <= self.end_id < self.tokens.reserved else self.tokens.reserved

    @property
    def vocabulary(self) -> str:
        """All that ids depend on."""
        return str(self.state()[VOCABULARY])

    def train_dataloader(self) -> Batches:
        train = self.split("train")
        return Batches(train, training_order(self, len(train)))  # type: ignore[arg-type]
