"""Prompts with answers: any reader's data as batches of ids, whose answers are known from their prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Seed, Workers
from lightloom.data.contract import Summary
from lightloom.data.loading import Batches, evaluation_order, training_order
from lightloom.data.preferences.answered import Answered, Encoded, Reader
from lightloom.data.preferences.ending import end_of
from lightloom.data.tokens import UNKNOWN, Tokenizer
from lightloom.data.vocabulary import VocabularyDataModule
from lightloom.ops.rewards import Reward
from lightloom.ops.rng import mix, mix_tensor

Fraction = Annotated[float, Ge(0), Le(0.9)]


class AnswersDataModule(VocabularyDataModule):
    """Prompts with an answer each: ids int64 (B, T), and the id after each where it is of the answer, else -100.

    The vocabulary is that of the training texts; of a run that begins with the weights of another it is that which
    these know. end: a text that is one id and ends an answer, where the vocabulary has no `<eos>`. Where the reader has
    no validation part, `val_fraction` of the training prompts are; `test_fraction` likewise: equal prompts stay
    together. longer: what becomes of an item that has more than block_size ids. batch_size: items per step, over all
    processes. num_workers, augment: what other data takes.
    """

    answers: ClassVar[int] = 1
    items: ClassVar[str] = "answers"
    adopts: ClassVar[tuple[str, ...]] = ("block_size", "end")
    adopts_state_of: ClassVar[tuple[str, ...]] = ("language", "answers", "preferences")
    splits_by: ClassVar[tuple[str, ...]] = ("seed", "val_fraction", "test_fraction", "longer")

    def __init__(
        self,
        reader: Reader,
        tokens: Tokenizer,
        name: str,
        kind: str,
        vocab_size: Count | None,
        block_size: Annotated[int, Ge(2)],
        batch_size: Count,
        eval_batch_size: Count,
        root: str = "",
        end: str = "\n",
        longer: Literal["refuse", "leave_out"] = "refuse",
        val_fraction: Fraction = 0.1,
        test_fraction: Fraction = 0.0,
        seed: Seed = 0,
        num_workers: Workers = 0,
        shuffle: bool = True,
        augment: None = None,
    ) -> None:
        super().__init__()
        self.reader, self.tokens, self.name, self.kind = reader, tokens, name, kind
        self.vocab_size, self.block_size, self.end, self.longer = vocab_size, block_size, end, longer
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.test_fraction, self.seed, self.shuffle = val_fraction, test_fraction, seed, shuffle
        self.splits: dict[str, Encoded] = {}
        self.parts: dict[str, Sequence[Answered]] = {}
        self.notes: list[str] = []

    # --- the data and its facts

    def training_texts(self) -> Iterator[str]:
        return (text for item in self.part("train") for text in (item.prompt, *item.answers, self.end))

    @property
    def reward(self) -> Reward | None:
        """What answers are worth, where that is known."""
        return getattr(self.reader, "reward", None)

    def part(self, name: str) -> Sequence[Answered]:
        """The prompts and answers of a part; UserError where there is none."""
        if not self.parts:
            self.parts = self._read()
        if name not in self.parts:
            raise UserError(
                f"{self.name} has no {name} prompts; choose another split (split=val), or set data.{name}_fraction=0.1."
            )
        return self.parts[name]

    def split(self, name: str) -> Encoded:
        """The items of `train`, `val` or `test` as ids."""
        if name not in self.splits:
            encoded = Encoded(self.part(name), self.tokens, end_of(self.tokens, self.end))
            self.splits[name] = self.fitting(encoded, name)
        return self.splits[name]

    def setup(self, stage: str = "fit") -> None:
        """Read the splits that the stage needs, once."""
        self.facts()
        if stage == "fit" and self.batch_size > (size := len(self.split("train"))):
            raise UserError(
                f"data.batch_size is {self.batch_size}, but {self.name} has {size} {self.items} to train on; set "
                f"data.batch_size={size} or less."
            )
        if stage in ("fit", "validate"):
            self.split("val")

    def summary(self) -> Summary:
        """With the number of ids, what was left out, and how much is unknown."""
        unknown = {name: self._unknown(split) for name, split in self.splits.items()}
        notes = [*self.notes, *(f"{share:.2%} of {name} is unknown" for name, share in unknown.items() if share)]
        longest = max((int(split.lengths.max()) for split in self.splits.values()), default=0)
        of = f"{longest} ids at most, of {self.vocab_size:,}"
        return replace(super().summary(), of=of, notes=tuple(dict.fromkeys(notes)))

    def example(self, count: int, seed: int) -> Tensor:
        """Ids, int64 (count, block_size)."""
        return self.random_ids(count, self.block_size, seed)

    def _read(self) -> dict[str, Sequence[Answered]]:
        """The items of each part that there is; those that the reader lacks are taken from training's."""
        found: dict[str, Sequence[Answered]] = {}
        for name in ("train", "val", "test"):
            if (read := self.reader.read(name, self.answers)) is not None:  # type: ignore[arg-type]
                found[name] = read.items
                self.notes += read.notes
        fractions = {"val": self.val_fraction, "test": self.test_fraction}
        wanted = {name: share for name, share in fractions.items() if name not in found and share}
        return {**found, **_divided(found["train"], wanted, self.seed)} if wanted else found

    def fitting(self, split: Encoded, name: str) -> Encoded:
        """Those that fit into block_size; UserError where one does not and `longer` has it refused."""
        fits = split.lengths <= self.block_size
        if fits.all():
            return split
        longest, lost = int(split.lengths.argmax()), int((~fits).sum())
        if self.longer == "refuse" or not fits.any():
            where = split.items[longest].where
            raise UserError(
                f"{self.name}: {lost:,} of {len(split):,} {self.items} of {name} do not fit into data.block_size="
                f"{self.block_size}, the longest has {int(split.lengths[longest])} ids{f' ({where})' if where else ''};"
                f" set a larger data.block_size, or data.longer=leave_out."
            )
        self.notes.append(f"left out of {name}: {lost:,} longer than data.block_size={self.block_size}")
        return split.pick(fits.nonzero().flatten())

    def _unknown(self, split: Encoded) -> float:
        return float((torch.cat([ids for rows in split.rows for ids in rows]) == UNKNOWN).float().mean())

    # --- batches

    def train_dataloader(self) -> Batches:
        train = self.split("train")
        return Batches(train, training_order(self, len(train), lengths=train.lengths))  # type: ignore[arg-type]

    def eval_loader(self, name: str) -> Batches:
        """Any split once, in its order."""
        split = self.split(name)
        return Batches(split, evaluation_order(self, len(split), name))  # type: ignore[arg-type]


class PreferencesDataModule(AnswersDataModule):
    """Prompts with two answers of which one was preferred, as `Pairs`; all else as in AnswersDataModule."""

    answers: ClassVar[int] = 2
    items: ClassVar[str] = "pairs"


def _divided(items: Sequence[Answered], fractions: dict[str, float], seed: int) -> dict[str, Sequence[Answered]]:
    """Training's items and those of parts that get a share of its prompts, in the order of a key of each prompt."""
    prompts = list(dict.fromkeys(item.prompt for item in items))
    order = mix_tensor(mix(seed, -2), torch.arange(len(prompts))).argsort().tolist()
    bounds, owner, first = {}, dict.fromkeys(prompts, "train"), 0
    for name, share in fractions.items():
        count = min(max(round(share * len(prompts)), 1), max(len(prompts) - 1 - first, 0))
        bounds[name], first = order[first : first + count], first + count
        owner.update({prompts[place]: name for place in bounds[name]})
    parts = {name: [item for item in items if owner[item.prompt] == name] for name in ("train", *fractions)}
    return {name: found for name, found in parts.items() if found}
