"""Pictures of texts: any reader's data as batches of float images in [0, 1] and the codes of their texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Positive, Seed, Workers
from lightloom.data.contract import SPLITS, WHOLE, Summary
from lightloom.data.images.datamodule import to_float
from lightloom.data.images.unreadable import unreadable
from lightloom.data.loading import TIMEOUT, Batches, KeyedDataModule, evaluation_order, loader, training_order
from lightloom.data.sampling import stratified_split
from lightloom.data.stated import check_channels
from lightloom.data.text_images.alphabet import alphabet_of, check_alphabet, check_texts, encoded
from lightloom.data.text_images.fitting import stacked
from lightloom.data.text_images.split import JoinedTexts, Reader, Split, TextFiles
from lightloom.ops.ctc import columns_needed
from lightloom.ops.rng import mix_tensor, uniforms

Augment = Callable[[Tensor, Tensor], Tensor]


class TextImageDataModule(KeyedDataModule):
    """One private loader for all splits of a reader.

    A batch is (images, codes): float (B, C, height, width) in [0, 1], and int64 (B, L), the places of a text's symbols
    in the alphabet, counted from 1, with zeros behind shorter texts. height, width: to which pictures are fitted, their
    ratio kept, with paper at the right. Facts that are None are found in the texts of all splits. batch_size: pictures
    per step over all processes. cache_dir: remembers which files were found to be whole.
    """

    items: ClassVar[str] = "pictures of texts"
    must_match: ClassVar[tuple[str, ...]] = ("channels",)
    labels_must_match: ClassVar[tuple[str, ...]] = ("alphabet",)
    adopts: ClassVar[tuple[str, ...]] = ("height", "width")

    def __init__(
        self,
        reader: Reader,
        name: str,
        kind: str,
        alphabet: str | None,
        num_symbols: Count | None,
        min_length: Count | None,
        max_length: Count | None,
        channels: Annotated[int, Ge(1), Le(3)],
        height: Count,
        width: Count,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: Count,
        eval_batch_size: Count,
        augment: Augment,
        root: str = "",
        cache_dir: str | None = None,
        val_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.1,
        seed: Seed = 0,
        num_workers: Workers = 0,
        worker_timeout: Positive = TIMEOUT,
        shuffle: bool = True,
    ) -> None:
        super().__init__()
        self.reader, self.name, self.kind = reader, name, kind
        self.alphabet, self.num_symbols, self.lengths = alphabet, num_symbols, (min_length, max_length)
        self.channels, self.height, self.width = channels, height, width
        self.mean, self.std = list(mean), list(std)
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.worker_timeout, self.augment, self.shuffle = worker_timeout, augment, shuffle
        self.val_fraction, self.seed = val_fraction, seed
        self.cache_dir = Path(cache_dir) if cache_dir else None
        self._found: dict[str, Split | None] = {}

    # --- the data and its facts

    def facts(self) -> dict[str, Any]:
        """What the texts say, checked against the configuration: alphabet, num_symbols, min_length and max_length."""
        check_channels(self.channels, mean=self.mean, std=self.std)
        labelled = self._labelled()
        texts = [text for part in labelled for text in part.texts]
        if self.alphabet is None:
            self.alphabet = alphabet_of(texts)
        check_alphabet(self.alphabet)
        for part in labelled:
            check_texts(part.texts, part.names, self.alphabet)
        self._check_count(len(self.alphabet))
        self._check_lengths(labelled)
        lengths = list(map(len, texts))
        low, high = (stated or found for stated, found in zip(self.lengths, (min(lengths), max(lengths)), strict=True))
        self.num_symbols, self.lengths = len(self.alphabet), (low, high)
        return {"alphabet": self.alphabet, "num_symbols": self.num_symbols, "min_length": low, "max_length": high}

    def match(self, trained: Mapping[str, Any], labelled: bool) -> None:
        """Where no alphabet is stated, that of the model."""
        if labelled and self.alphabet is None:
            self.alphabet = trained.get("alphabet")

    def _read(self, name: str) -> Split | None:
        if name not in self._found:
            self._found[name] = self.reader.read(name)  # type: ignore[arg-type]
        return self._found[name]

    def _labelled(self) -> list[Split]:
        found = [part for name in SPLITS if (part := self._read(name)) is not None and part.labelled]
        if not found:
            raise UserError(f"{self.name}: there are no pictures whose texts are known; use a data set that has them.")
        return found

    def _check_count(self, found: int) -> None:
        if self.num_symbols not in (None, found):
            raise UserError(
                f"data.num_symbols is {self.num_symbols}, but data.alphabet has {found} symbols; set "
                f"data.num_symbols=null."
            )

    def _check_lengths(self, labelled: Sequence[Split]) -> None:
        """Raise UserError for the first text that is shorter or longer than stated."""
        low, high = self.lengths[0] or 1, self.lengths[1] or float("inf")
        for part in labelled:
            for text, name in zip(part.texts, part.names, strict=True):
                if not low <= len(text) <= high:
                    raise UserError(
                        f"{name}: its text {text!r} has {len(text)} symbols, but data.min_length is {low} and "
                        f"data.max_length {high}; set both to null, or correct the text."
                    )

    def split(self, name: str) -> Split:
        """The data of `train`, `val` or `test`."""
        if self.num_symbols is None:
            self.facts()
        if name == WHOLE and name not in self.splits:
            self.splits[name] = self.whole()
        elif name not in self.splits and name != "test":
            self._split_train()
        elif name not in self.splits:
            test = self._read("test")
            if test is None:
                raise UserError(f"{self.name} has no test pictures; choose another data set or split (split=val).")
            self.splits["test"] = test
        return self.splits[name]  # type: ignore[no-any-return]

    def whole(self) -> Split:
        """Every picture whose text is known, whatever its part."""
        return JoinedTexts(self._labelled())

    def _split_train(self) -> None:
        train, val = self._read("train"), self._read("val")
        if train is None or not train.labelled:
            raise UserError(f"{self.name}: there are no training pictures with texts; use a data set that has them.")
        if val is None:
            rest, part = stratified_split(torch.zeros(len(train), dtype=torch.int64), self.val_fraction, self.seed)
            if not len(part):
                raise UserError(
                    f"data.val_fraction={self.val_fraction} leaves {self.name} no validation picture of its "
                    f"{len(train)} training pictures; set a larger data.val_fraction."
                )
            train, val = train.pick(rest), train.pick(part)
        self.splits.update(train=train, val=val)

    def _check_batch_size(self) -> None:
        """Raise UserError where training has no whole batch; whoever only measures needs none."""
        if self.batch_size > (size := len(self.split("train"))):
            raise UserError(
                f"data.batch_size is {self.batch_size}, but {self.name} has {size} training pictures; "
                f"set data.batch_size={size} or less."
            )

    def setup(self, stage: str = "fit") -> None:
        """Read the splits that the stage needs, once."""
        if stage in ("fit", "validate"):
            self.split("train")
        if stage == "fit":
            self._check_batch_size()

    @property
    def classes(self) -> list[str]:
        """The symbols, for a table of those that are taken for others."""
        return list(self.alphabet or "")

    def summary(self) -> Summary:
        low, high = self.lengths
        of = f"{self.num_symbols} symbols, {low}{f' to {high}' if high != low else ''} a text"
        return replace(super().summary(), of=of, notes=tuple(self._notes()))

    def _notes(self) -> list[str]:
        if "train" not in self.splits:
            return []
        unseen = sorted(set(self.alphabet or "") - set().union(*self.splits["train"].texts))
        return [f"no training text has {''.join(unseen)}"] if unseen else []

    def unreadable(self) -> dict[str, dict[Path, str]]:
        """Split -> path -> what is wrong with it, of the splits that were read."""
        files = {name: split for name, split in self.splits.items() if isinstance(split, TextFiles)}
        found = {name: unreadable(split.paths, self.height, self.cache_dir) for name, split in files.items()}
        return {name: wrong for name, wrong in found.items() if wrong}

    def most_columns(self) -> tuple[str, int]:
        """The text that needs the most columns for CTC, of all splits, and how many these are."""
        alphabet = str(self.facts()["alphabet"])
        texts = [text for part in self._labelled() for text in part.texts]
        needed, place = columns_needed(encoded(texts, alphabet)).max(0)
        return texts[int(place)], int(needed)

    def example(self, count: int, seed: int) -> Tensor:
        """Images of noise, (count, channels, height, width) in [0, 1]."""
        values = uniforms(mix_tensor(seed, torch.arange(count)), self.channels * self.height * self.width)
        return values.view(count, self.channels, self.height, self.width)

    # --- batches

    def train_dataloader(self) -> DataLoader[Any] | Batches:
        train = self.split("train")
        self._check_batch_size()
        return self._loader(train, training_order(self, len(train)), self.augment)

    def eval_loader(self, name: str) -> DataLoader[Any] | Batches:
        """Any split once, in its order, without augmentation."""
        split = self.split(name)
        return self._loader(split, evaluation_order(self, len(split), name))

    def _loader(self, split: Split, order: Any, augment: Augment | None = None) -> DataLoader[Any] | Batches:
        dataset = TextImages(split, self.alphabet or "", self.height, self.width, augment)
        return loader(dataset, order, self.num_workers, self.seed, self.worker_timeout)

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        return self.as_precise(to_float(batch[0])), batch[1]


class TextImages(Dataset[tuple[Tensor, Tensor]]):
    """A split of which an item is a whole batch: uint8 (B, C, height, width) and codes int64 (B, L)."""

    def __init__(self, split: Split, alphabet: str, height: int, width: int, augment: Augment | None) -> None:
        self.split, self.height, self.width, self.augment = split, height, width, augment
        self.codes = encoded(split.texts, alphabet) if split.labelled else None
        self.paths = getattr(split, "paths", None)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        indices, keys = batch
        images = stacked([self.split[i] for i in indices.tolist()], self.height, self.width)
        codes = torch.zeros(len(indices), 1, dtype=torch.int64) if self.codes is None else self.codes[indices]
        return (self.augment(images, keys) if self.augment else images), codes
