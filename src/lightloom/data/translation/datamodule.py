"""Texts with their translations: any reader's pairs as batches of ids."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Positive, Seed, Workers
from lightloom.data.contract import Summary
from lightloom.data.loading import TIMEOUT
from lightloom.data.sampling import stratified_split
from lightloom.data.text.datamodule import MULTIPLE
from lightloom.data.tokens import Tokenizer
from lightloom.data.translation.pairs import END, SPECIALS, Encoded, Pairs, Reader
from lightloom.data.vocabulary import BucketedDataModule
from lightloom.ops.rng import mix_tensor, uniforms


class TranslationDataModule(BucketedDataModule):
    """Ids of texts int64 (B, S), of their translations (B, T), and those as they are written.

    Padded with 0 on the right, see `Encoded`. Both languages have one vocabulary, learned from the training texts of
    both; it is the datamodule's state. max_length: ids of a text, what is beyond is cut off. val_fraction: of the
    training pairs, where the reader has no validation part; equal sources are in one part. bucketed: batches of texts
    of similar length. batch_size: pairs per step over all processes; with batch_tokens, the tokens of a step's sources,
    and of its targets, a multiple of that many. source, target: what the languages are called.
    augment: what other data takes, as debug=overfit says it of all.
    """

    items: ClassVar[str] = "pairs"
    must_match: ClassVar[tuple[str, ...]] = ("source", "target")
    adopts: ClassVar[tuple[str, ...]] = ("max_length",)

    def __init__(
        self,
        reader: Reader,
        tokens: Tokenizer,
        name: str,
        kind: str,
        source: str,
        target: str,
        vocab_size: Count | None,
        max_length: Count,
        batch_size: Count,
        eval_batch_size: Count,
        root: str = "",
        encoding: str = "utf-8",
        val_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.1,
        seed: Seed = 0,
        num_workers: Workers = 0,
        worker_timeout: Positive = TIMEOUT,
        shuffle: bool = True,
        bucketed: bool = True,
        batch_tokens: Count | None = None,
        augment: None = None,
    ) -> None:
        super().__init__()
        if tuple(tokens.specials) != SPECIALS:
            raise UserError(f"data.tokens.specials is {tokens.specials}; expected {list(SPECIALS)}.")
        self.reader, self.tokens, self.name, self.kind = reader, tokens, name, kind
        self.source, self.target, self.vocab_size, self.max_length = source, target, vocab_size, max_length
        self.batch_size, self.eval_batch_size, self.val_fraction = batch_size, eval_batch_size, val_fraction
        self.seed, self.shuffle, self.bucketed = seed, shuffle, bucketed
        self.batch_tokens = batch_tokens
        self.num_workers, self.worker_timeout = num_workers, worker_timeout
        self.splits: dict[str, Pairs] = {}
        self.encoded = {}

    # --- the data and its facts

    def training_texts(self) -> list[str]:
        train = self.split("train")
        return [*train.sources, *train.targets]

    def split(self, name: str) -> Pairs:
        """The pairs of `train`, `val` or `test`."""
        if name in ("train", "val"):
            self._read_training()
        elif name not in self.splits and (found := self.reader.read("test")) is not None:
            self.splits[name] = found
        if name not in self.splits:
            raise UserError(
                f"{self.name} has no {name} pairs; choose another split (split=val), or add a {name} file of each "
                f"language."
            )
        return self.splits[name]

    def summary(self) -> Summary:
        """With the number of ids, what was left out or cut off, and how much is unknown."""
        notes = [note for split in self.splits.values() for note in split.notes]
        for name in self.splits if self.learned else ():
            encoded = self.encoded_split(name)
            notes += [f"{encoded.cut:,} of {name} are cut to data.max_length={self.max_length}"] * bool(encoded.cut)
            notes += [f"{encoded.unknown:.1%} of {name} is unknown"] * bool(encoded.unknown)
        of = f"{self.source} and {self.target}, {self.vocab_size:,} ids"
        return replace(super().summary(), of=of, notes=tuple(dict.fromkeys(notes)))

    def decoded(self, ids: Any) -> list[str]:
        """The texts of rows of ids, int64 (B, T) or lists: each up to END."""
        rows = ids.tolist() if isinstance(ids, Tensor) else map(list, ids)
        return [self.tokens.decode(row[: row.index(END)] if END in row else row) for row in rows]

    def example(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Ids of random texts, and of what was written of them, int64 (count, 2 MULTIPLE) each."""
        shares = uniforms(mix_tensor(seed, torch.arange(count)), 4 * MULTIPLE)
        ids = (shares * ((self.vocab_size or 5) - END)).long() + END
        return ids[:, : 2 * MULTIPLE], ids[:, 2 * MULTIPLE :]

    def _read_training(self) -> None:
        if "train" in self.splits:
            return
        train, val = self.reader.read("train"), self.reader.read("val")
        if train is None or not len(train):
            raise UserError(f"{self.name} has no training pairs; choose a data set that has them.")
        if val is None:
            train, val = divided(train, self.val_fraction, self.seed)
        if not len(val):
            raise UserError(f"{self.name} has no validation pairs; set a larger data.val_fraction.")
        self.splits.update(train=train, val=val)

    def encode(self, split: Pairs) -> Encoded:
        return Encoded(split, self.tokens, self.max_length)


def divided(pairs: Pairs, fraction: float, seed: int) -> tuple[Pairs, Pairs]:
    """(rest, part), `fraction` of the sources in the part; equal ones are on one side."""
    seen: dict[str, int] = {}
    numbers = torch.tensor([seen.setdefault(text, len(seen)) for text in pairs.sources])
    _, part = stratified_split(torch.zeros(len(seen), dtype=torch.int64), fraction, seed)
    chosen = torch.isin(numbers, part)
    return pairs.pick((~chosen).nonzero().flatten()), pairs.pick(chosen.nonzero().flatten())
