"""A long text: its parts as ids, in windows that a model learns to continue."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Seed, Workers
from lightloom.data.contract import Summary
from lightloom.data.images.layout import PARTS
from lightloom.data.language.files import Reader
from lightloom.data.language.windows import Shifted, Stream
from lightloom.data.loading import Batches, evaluation_order, training_order
from lightloom.data.tokens import UNKNOWN, Tokenizer
from lightloom.data.vocabulary import VocabularyDataModule

Fraction = Annotated[float, Ge(0), Le(0.9)]


class LanguageDataModule(VocabularyDataModule):
    """Ids int64 (B, block_size), and the id after each, (B, block_size), -100 beyond the end of a text.

    The vocabulary is that of the training text alone; it is the datamodule's state. Where the reader has no validation
    or test part, the last `val_fraction` and, after it, `test_fraction` of the training text are. Training windows
    begin at a phase of each epoch's own; an evaluation's are side by side, so that it measures each id but the first
    once, whatever eval_batch_size. batch_size: windows per step over all processes. num_workers, augment:
    what other data takes, as debug=overfit says it of all; a text in memory needs none.
    """

    items: ClassVar[str] = "windows"
    adopts: ClassVar[tuple[str, ...]] = ("block_size",)
    splits_by: ClassVar[tuple[str, ...]] = ("val_fraction", "test_fraction")

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
        val_fraction: Fraction = 0.1,
        test_fraction: Fraction = 0.0,
        seed: Seed = 0,
        num_workers: Workers = 0,
        shuffle: bool = True,
        augment: None = None,
    ) -> None:
        super().__init__()
        if val_fraction + test_fraction > 0.9:
            raise UserError(
                f"data.val_fraction={val_fraction} and data.test_fraction={test_fraction} leave less than a tenth of "
                f"the text to train on; set smaller ones."
            )
        self.reader, self.tokens, self.name, self.kind = reader, tokens, name, kind
        self.vocab_size, self.block_size = vocab_size, block_size
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.test_fraction, self.seed, self.shuffle = val_fraction, test_fraction, seed, shuffle
        self.splits: dict[str, Stream] = {}
        self.texts: dict[str, str] = {}

    # --- the text and its facts

    def training_texts(self) -> list[str]:
        return [self.text("train")]

    def text(self, name: str) -> str:
        """That of a part; UserError where there is none, or too little of it."""
        if not self.texts:
            self.texts = self._read()
        if name not in self.texts:
            raise UserError(
                f"{self.name} has no {name} text; choose another split (split=val), or set data.{name}_fraction=0.1."
            )
        return self.texts[name]

    def split(self, name: str) -> Stream:
        """The windows of `train`, `val` or `test`, side by side."""
        if name not in self.splits:
            ids = torch.tensor(self.tokens.encode(self.text(name)), dtype=torch.int64)
            if len(ids) < 2:
                raise UserError(f"{self.name}: its {name} text has {len(ids)} ids; expected a longer one.")
            self.splits[name] = Stream.of(ids, self.block_size)
        return self.splits[name]

    def setup(self, stage: str = "fit") -> None:
        """Read the splits that the stage needs, once."""
        self.facts()
        if stage == "fit":
            self._training()
        if stage in ("fit", "validate"):
            self.split("val")

    def summary(self) -> Summary:
        """With the number of ids, and how much is unknown."""
        notes = [f"{share:.2%} of {name} is unknown" for name in self.splits if (share := self._unknown(name))]
        notes += [note for note in [getattr(self.reader, "note", None)] if note]
        ids = ", ".join(f"{name} {len(stream.ids):,}" for name, stream in self.splits.items())
        of = f"{self.block_size} ids each, of {self.vocab_size:,} ({ids})"
        return replace(super().summary(), of=of, notes=tuple(notes))

    def example(self, count: int, seed: int) -> Tensor:
        """Ids, int64 (count, block_size)."""
        return self.random_ids(count, self.block_size, seed)

    def _read(self) -> dict[str, str]:
        """The text of each part that there is, those that the reader lacks from the end of training's."""
        found: dict[str, str] = {name: text for name in PARTS if (text := self.reader.read(name)) is not None}
        whole, length = found["train"], len(found["train"])
        for name, fraction in (("test", self.test_fraction), ("val", self.val_fraction)):  # from the end on
            if name not in found:
                end = len(whole) - math.ceil(fraction * length)
                whole, found[name] = whole[:end], whole[end:]
        return {name: text for name, text in {**found, "train": whole}.items() if text}

    def _unknown(self, name: str) -> float:
        return float((self.splits[name].ids == UNKNOWN).float().mean())

    # --- batches

    def _training(self) -> Shifted:
        """Raises UserError where it has no whole batch."""
        windows = Shifted(self.split("train"), self.seed if self.shuffle else None)
        if self.batch_size > len(windows):
            raise UserError(
                f"data.batch_size is {self.batch_size}, but {self.name} has {len(windows)} windows of "
                f"data.block_size={self.block_size} to train on; set a smaller one of the two, or take a longer text."
            )
        return windows

    @property
    def num_train_batches(self) -> int:
        return len(self._training()) // self.batch_size

    def train_dataloader(self) -> Batches:
        windows = self._training()
        return Batches(windows, training_order(self, len(windows)))  # type: ignore[arg-type]

    def eval_loader(self, name: str) -> Batches:
        """Any split once, in its order."""
        stream = self.split(name)
        return Batches(stream, evaluation_order(self, len(stream), name))  # type: ignore[arg-type]
