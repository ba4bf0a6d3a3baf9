"""What all data of ids has alike: a vocabulary that its training texts teach, and that the checkpoint keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightloom.core.errors import UserError
from lightloom.data.loading import Batches, KeyedDataModule, evaluation_order, loader, training_order
from lightloom.data.token_batches import packed
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


class BucketedDataModule(VocabularyDataModule):
    """Short texts, of which a batch is as long as its longest; a kind says how a split is encoded, each once.

    bucketed: batches of texts of similar length. batch_tokens: of a training batch, see `TokenBatches`. What `encode`
    gives has `lengths` of texts and `columns` that each takes in a batch, int64 (N,).
    """

    encoded: dict[str, Any]
    batch_size: int
    batch_tokens: int | None
    bucketed: bool
    num_workers: int
    seed: int
    worker_timeout: float

    def encode(self, split: Any) -> Any:
        """A split as ids, of which an item is a whole batch."""
        raise NotImplementedError

    def encoded_split(self, name: str) -> Any:
        """A split as ids, encoded once."""
        if name not in self.encoded:
            self.encoded[name] = self.encode(self.split(name))
        return self.encoded[name]

    def setup(self, stage: str = "fit") -> None:
        """Read the splits that the stage needs, once."""
        self.facts()
        if stage in ("fit", "validate"):
            self.split("val")
        if stage == "fit":
            self._check_batch_size()

    @property
    def num_train_batches(self) -> int:
        if self.batch_tokens is None:
            return super().num_train_batches
        return len(packed(self.encoded_split("train").columns, self.batch_size, self.batch_tokens))

    @property
    def size_of_batches(self) -> str:
        """In words, of training."""
        return f"{self.batch_size}" if self.batch_tokens is None else f"up to {self.batch_tokens:,} tokens"

    def train_dataloader(self) -> DataLoader[Any] | Batches:
        self._check_batch_size()
        train = self.encoded_split("train")
        lengths = train.columns if self.batch_tokens else train.lengths if self.bucketed else None
        order = training_order(self, len(train), lengths=lengths, batch_tokens=self.batch_tokens)  # type: ignore[arg-type]
        return loader(train, order, self.num_workers, self.seed, self.worker_timeout)

    def eval_loader(self, name: str) -> DataLoader[Any] | Batches:
        """Any split once."""
        split = self.encoded_split(name)
        order = evaluation_order(self, len(split), name)  # type: ignore[arg-type]
        return loader(split, order, self.num_workers, self.seed, self.worker_timeout)

    def _check_batch_size(self) -> None:
        """Raise UserError where training has no whole batch; whoever only measures needs none."""
        if self.batch_size > (size := len(self.split("train"))):
            raise UserError(
                f"data.batch_size is {self.batch_size}, but {self.name} has {size} training {self.items}; "
                f"set data.batch_size={size} or less."
            )
        if self.batch_tokens is not None:
            self._check_batch_tokens(self.batch_tokens)

    def _check_batch_tokens(self, budget: int) -> None:
        """Raise UserError where the longest texts do not fit, or texts of like length are not wanted."""
        if not self.bucketed:
            raise UserError(
                f"data.batch_tokens={budget} packs texts of like length, and data.bucketed=false mixes them; "
                f"leave one of the two out."
            )
        longest = int(self.encoded_split("train").columns.max())
        if (needed := self.batch_size * longest) > budget:
            raise UserError(
                f"data.batch_tokens is {budget}, but {self.batch_size} {self.items} of up to {longest} tokens, padding "
                f"included, take {needed}; set data.batch_tokens={needed} or more, or a smaller data.batch_size, of "
                f"which a batch has a multiple."
            )


def kept_in(data: Mapping[str, Any]) -> Tokenizer:
    """The vocabulary of the data that a checkpoint tells of; UserError where it has none."""
    if VOCABULARY not in data:
        raise UserError(f"The checkpoint of {data.get('name')} has no vocabulary; train it again.")
    return from_state(data[VOCABULARY])
