"""What all data of ids has alike: a vocabulary that its training texts teach, and that the checkpoint keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.data.loading import KeyedDataModule
from lightloom.data.tokens import UNKNOWN, Tokenizer, from_state
from lightloom.ops.rng import mix_tensor, uniforms

VOCABULARY = "vocabulary"  # in the state


class VocabularyDataModule(KeyedDataModule):
    """A kind says which texts are the vocabulary's; it is learned when facts are first asked for, and is the state."""

    tokens: Tokenizer
    vocab_size: int | None
    learned = False

    def training_texts(self) -> Iterable[str]:
        """What the vocabulary is learned from: of the training part alone."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """The number of ids, held against the configuration."""
        if not self.learned:
            self.tokens.learn(self.training_texts())
            self.learned = True
        if self.vocab_size not in (None, found := len(self.tokens)):
            raise UserError(f"data.vocab_size is {self.vocab_size}, but {self.name} has {found}; leave it null.")
        self.vocab_size = found
        return {"vocab_size": found}

    def state(self) -> dict[str, Any]:
        return {VOCABULARY: self.tokens.to_state()}

    def adopt(self, state: dict[str, Any]) -> None:
        """The vocabulary that a checkpoint keeps, in place of one that these texts would teach."""
        self.tokens, self.learned, self.vocab_size = from_state(state[VOCABULARY]), True, None

    def characters_of_ids(self) -> Tensor:
        """How many characters each id stands for, int64 (vocab_size,): by these all vocabularies can be compared."""
        return torch.tensor(self.tokens.characters())

    def random_ids(self, count: int, length: int, seed: int) -> Tensor:
        """int64 (count, length), none of them padding: an example of what a network takes."""
        shares = uniforms(mix_tensor(seed, torch.arange(count)), length)
        return (shares * ((self.vocab_size or 3) - UNKNOWN)).long() + UNKNOWN


def kept_in(data: Mapping[str, Any]) -> Tokenizer:
    """The vocabulary of the data that a checkpoint tells of; UserError where it has none."""
    if VOCABULARY not in data:
        raise UserError(f"The checkpoint of {data.get('name')} has no vocabulary; train it again.")
    return from_state(data[VOCABULARY])
