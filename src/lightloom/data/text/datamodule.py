"""Labelled texts: any reader's data as batches of ids, each as long as its longest text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Natural, Positive, Seed, Workers
from lightloom.core.text import first_of
from lightloom.data.contract import WHOLE, Summary
from lightloom.data.images.layout import PARTS
from lightloom.data.loading import TIMEOUT
from lightloom.data.stated import check_classes
from lightloom.data.text.texts import Reader, Texts, divided, joined, left_out
from lightloom.data.text.vectors import read_vectors
from lightloom.data.tokens import PAD, UNKNOWN, Tokenizer
from lightloom.data.vocabulary import BucketedDataModule

MULTIPLE = 8  # of which the lengths of batches are, so that there are few shapes


class TextDataModule(BucketedDataModule):
    """One private loader for all splits of a reader.

    A batch is (ids, labels): int64 (B, T), padded with 0 on the right, and int64 (B,). The vocabulary is that of the
    training texts alone; it is the datamodule's state. vectors: a file of words' vectors with which training begins.
    max_length: ids of a text, what is beyond is cut off. val_fraction: of the training texts, stratified, where the
    reader has no validation split. folds, fold: of so many parts of the training texts, stratified, one is the test's;
    the data's own test part is left alone. Equal texts are in one part. bucketed: batches of texts of similar length.
    batch_size: texts per step over all processes; with batch_tokens, the tokens of a step, a multiple of that many.
    augment: what other data takes, as debug=overfit says it of all.
    """

    items: ClassVar[str] = "texts"
    labels_must_match: ClassVar[tuple[str, ...]] = ("num_classes",)
    names_of_labels: ClassVar[tuple[str, ...]] = ("classes",)
    adopts: ClassVar[tuple[str, ...]] = ("max_length",)
    splits_by: ClassVar[tuple[str, ...]] = ("seed", "val_fraction", "folds", "fold")

    def __init__(
        self,
        reader: Reader,
        tokens: Tokenizer,
        name: str,
        kind: str,
        num_classes: Count | None,
        classes: Sequence[str] | None,
        vocab_size: Count | None,
        max_length: Count,
        batch_size: Count,
        eval_batch_size: Count,
        root: str = "",
        encoding: str = "utf-8",
        vectors: str | None = None,
        val_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.1,
        folds: Annotated[int, Ge(2)] | None = None,
        fold: Natural = 0,
        seed: Seed = 0,
        num_workers: Workers = 0,
        worker_timeout: Positive = TIMEOUT,
        shuffle: bool = True,
        bucketed: bool = True,
        batch_tokens: Count | None = None,
        augment: None = None,
    ) -> None:
        super().__init__()
        if folds is not None and fold >= folds:
            raise UserError(f"data.fold is {fold}, but data.folds is {folds}; folds count from 0 to {folds - 1}.")
        self.reader, self.tokens, self.name, self.kind = reader, tokens, name, kind
        self.num_classes, self.classes = num_classes, list(classes) if classes else None
        self.vocab_size, self.max_length = vocab_size, max_length
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.folds, self.fold = val_fraction, folds, fold
        self.seed, self.shuffle, self.bucketed, self.vectors = seed, shuffle, bucketed, vectors
        self.batch_tokens = batch_tokens
        self.num_workers, self.worker_timeout = num_workers, worker_timeout
        self.splits: dict[str, Texts] = {}
        self.encoded = {}
        self.order: Tensor | None = None  # our classes' numbers in the model's

    # --- the data and its facts

    def facts(self) -> dict[str, Any]:
        """num_classes and classes as the reader has them, and the number of ids; checked against the configuration."""
        if self.order is None:
            classes = list(self.reader.classes)
            check_classes(str(self.name), self.num_classes, self.classes, classes)
            self.num_classes, self.classes = len(classes), classes
        found = super().facts()
        if len(self.tokens) == self.tokens.reserved:
            raise UserError(f"{self.name}: its training texts have no words to learn from; set data.root to texts.")
        return {"num_classes": self.num_classes, "classes": self.classes, **found}

    def training_texts(self) -> Sequence[str]:
        return self._training().texts

    def match(self, trained: Mapping[str, Any], labelled: bool) -> None:
        """Number the classes as the model does, where they are called as those that it knows, or are some of them."""
        known, own = list(map(str, trained.get("classes") or [])), list(self.reader.classes)
        if not labelled or not known or own == known or not set(own) & set(known):
            return
        if strange := [name for name in own if name not in known]:
            raise UserError(
                f"{self.name} has classes that the model does not know: {first_of(strange, 5)}; it knows "
                f"{first_of(known, 5)}. Rename them, or leave them out."
            )
        self.order = torch.tensor([known.index(name) for name in own])
        self.num_classes, self.classes = len(known), known

    def split(self, name: str) -> Texts:
        """The texts of `train`, `val` or `test`, or `all` that have labels."""
        if name in ("train", "val") or (name == "test" and self.folds):
            self._training()
        elif name not in self.splits and (found := self.whole() if name == WHOLE else self._read("test")) is not None:
            self.splits[name] = found.dealt()
        if name not in self.splits:
            raise UserError(
                f"{self.name} has no {name} texts; choose another split (split=val), or set data.folds=10 to leave a "
                f"tenth of its texts out and test on them."
            )
        return self.splits[name]

    def summary(self) -> Summary:
        """With the number of classes and ids, what was left out or cut off, and how much is unknown."""
        notes = [note for split in self.splits.values() for note in split.notes]
        notes += [note for name in self.splits if (note := self.encoded_split(name).note(name, self.max_length))]
        of = f"{self.num_classes:,} classes, {self.vocab_size:,} ids"
        return replace(super().summary(), of=of, notes=tuple(dict.fromkeys(notes)))

    def word_vectors(self) -> tuple[Tensor, Tensor] | None:
        """Ids int64 (n,) of words and their vectors (n, D), where there is a file of such; see `read_vectors`."""
        return read_vectors(Path(self.vectors), self.tokens.ids) if self.vectors else None

    def example(self, count: int, seed: int) -> Tensor:
        """Ids of random words, int64 (count, 2 MULTIPLE)."""
        return self.random_ids(count, 2 * MULTIPLE, seed)

    # --- parts

    def _training(self) -> Texts:
        """The training texts, with those of validation (and of the fold that is tested) put apart."""
        if "train" not in self.splits:
            train, val = self._read("train"), self._read("val")
            if train is None or not train.labelled:
                raise UserError(f"{self.name} has no training texts with labels; choose a data set that has them.")
            self._check_classes(train)
            if self.folds is not None:
                train, test = self._left_out(train, self.folds)
                self.splits["test"] = test.dealt()
            if val is None:
                train, val = self._divided(train)
            self.splits.update(train=train, val=val.dealt())
        return self.splits["train"]

    def _check_classes(self, train: Texts) -> None:
        """Raise UserError where all texts are of one class: there is nothing to tell apart."""
        assert train.labels is not None
        if len(found := train.labels.unique()) < 2:
            only = self.reader.classes[int(found[0])] if len(found) else "none"
            raise UserError(
                f"{self.name}: its training texts are all of one class, {only}; expected two classes or more, each "
                f"with a folder, a file or a label of its own."
            )

    def _left_out(self, train: Texts, folds: int) -> tuple[Texts, Texts]:
        if folds > len(train):
            raise UserError(f"data.folds is {folds}, but {self.name} has {len(train)} training texts; set fewer folds.")
        return left_out(train, folds, self.fold, self.seed)

    def _divided(self, train: Texts) -> tuple[Texts, Texts]:
        rest, part = divided(train, self.val_fraction, self.seed)
        if not len(part):
            raise UserError(
                f"data.val_fraction={self.val_fraction} leaves {self.name} no validation text of its {len(train)} "
                f"training texts; set a larger data.val_fraction."
            )
        return rest, part

    def whole(self) -> Texts:
        """Every text that has a label, whatever its part."""
        self.facts()
        found = [part for name in PARTS if (part := self._read(name)) is not None and part.labelled]
        if not found:
            raise UserError(f"{self.name} has no texts with labels to measure on; use predict.py.")
        return joined(found)

    def _read(self, name: Any) -> Texts | None:
        """What the reader has, its classes numbered as the model's."""
        split = self.reader.read(name)
        if split is None or split.labels is None or self.order is None:
            return split
        return replace(split, labels=self.order[split.labels])

    def encode(self, split: Texts) -> Encoded:
        return Encoded(split, self.tokens, self.max_length)


class Encoded(Dataset[tuple[Tensor, Tensor]]):
    """A split as ids, of which an item is a whole batch: int64 (B, T) and labels (B,), -1 where they are unknown.

    lengths: of the texts as the model sees them, int64 (N,). columns: that each takes in a batch. cut: how many were
    longer. unknown: share of the ids.
    """

    def __init__(self, split: Texts, tokens: Tokenizer, max_length: int) -> None:
        self.split = split
        found = [tokens.encode(text) or [UNKNOWN] for text in split.texts]
        self.cut = sum(len(ids) > max_length for ids in found)
        self.ids = [torch.tensor(ids[:max_length]) for ids in found]
        self.lengths = torch.tensor([len(ids) for ids in self.ids])
        self.columns = columns(self.lengths)
        self.labels = split.labels if split.labels is not None else torch.full((len(split),), -1)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        indices, _ = batch
        return as_batch([self.ids[i] for i in indices.tolist()]), self.labels[indices]

    def note(self, name: str, max_length: int) -> str:
        """What was cut off and what is unknown; empty where nothing is."""
        unknown = float((torch.cat(self.ids) == UNKNOWN).float().mean()) if self.ids else 0.0
        said = [f"{self.cut:,} of {name} are cut to data.max_length={max_length}"] if self.cut else []
        said += [f"{unknown:.1%} of {name} is unknown"] if unknown else []
        return "; ".join(said)


def columns(lengths: Tensor) -> Tensor:
    """What texts of these lengths, int64 (N,), take in a batch."""
    return lengths + -lengths % MULTIPLE


def as_batch(ids: Sequence[Tensor | Sequence[int]]) -> Tensor:
    """The ids of several texts, int64 (B, T), with PAD after each; T is a multiple of MULTIPLE."""
    rows = pad_sequence([torch.as_tensor(row) for row in ids], batch_first=True, padding_value=PAD)
    return pad(rows, (0, -rows.shape[1] % MULTIPLE), value=PAD)
