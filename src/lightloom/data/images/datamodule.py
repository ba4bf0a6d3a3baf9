"""Labelled images: any reader's data as batches of float images in [0, 1].

Images stay uint8 until they are on the device; there they are resized, augmented per sample and scaled, as a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset, Sampler

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Natural, Positive, Seed, Workers
from lightloom.core.text import first_of
from lightloom.data.cache import open_cache
from lightloom.data.contract import WHOLE, Summary
from lightloom.data.images.augment import Augment, centre
from lightloom.data.images.decode import read_image
from lightloom.data.images.readers import PARTS, UNLABELLED, Reader, Split, SplitName, joined
from lightloom.data.images.unreadable import unreadable
from lightloom.data.loading import TIMEOUT, Batches, KeyedDataModule, evaluation_order, loader, training_order
from lightloom.data.sampling import stratified_folds, stratified_split
from lightloom.data.stated import check_channels, check_classes
from lightloom.ops.rng import mix_tensor, seed_everything, uniforms

log = logging.getLogger("lightloom")
Batch = tuple[Tensor, Tensor, Tensor]


class ImageDataModule(KeyedDataModule):
    """One private loader for all splits of a reader.

    Facts (num_classes, channels, ...) are checked against the data; those that are None are found in it.
    batch_size: images per step over all processes. val_fraction: of the training images, stratified, where the reader
    has no validation split. on_device: keep the images of sets in memory on the device, which gathers the batches.
    folds, fold: of so many parts of the training images, stratified, one is the test's; the data's own test part is
    left alone. balanced: in each epoch as many images as there are, drawn with replacement, each class as often as any
    other. crop: share of the (square) image's side that the middle has which an evaluation sees, as weights state it.
    transform: a torchvision v2 transform per image, for readers of files. cache: keep what readers of files decode,
    before `transform`, in a file below cache_dir.
    """

    items: ClassVar[str] = "images"
    must_match: ClassVar[tuple[str, ...]] = ("channels",)
    labels_must_match: ClassVar[tuple[str, ...]] = ("num_classes",)
    names_of_labels: ClassVar[tuple[str, ...]] = ("classes",)
    splits_by: ClassVar[tuple[str, ...]] = ("seed", "val_fraction", "folds", "fold")
    adopts: ClassVar[tuple[str, ...]] = ("image_size", "crop")

    def __init__(
        self,
        reader: Reader,
        name: str,
        kind: str,
        num_classes: Count | None,
        classes: Sequence[str] | None,
        channels: Annotated[int, Ge(1), Le(3)],
        image_size: Count | None,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: Count,
        eval_batch_size: Count,
        augment: Augment | None,
        root: str = "",
        download: bool = False,
        val_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.1,
        seed: Seed = 0,
        num_workers: Workers = 0,
        worker_timeout: Positive = TIMEOUT,
        on_device: bool = False,
        shuffle: bool = True,
        transform: Callable[[Tensor], Tensor] | None = None,
        cache: bool = False,
        cache_dir: str | None = None,
        crop: Annotated[float, Gt(0), Le(1)] | None = 1.0,
        balanced: bool = False,
        folds: Annotated[int, Ge(2)] | None = None,
        fold: Natural = 0,
    ) -> None:
        super().__init__()
        if cache and cache_dir is None:
            raise UserError("data.cache=true needs a folder for the decoded images; set data.cache_dir=<folder>.")
        if folds is not None and fold >= folds:
            raise UserError(f"data.fold is {fold}, but data.folds is {folds}; folds count from 0 to {folds - 1}.")
        if image_size is None:
            raise UserError("data.image_size is null, and the model states none; set data.image_size=<pixels>.")
        self.reader, self.name, self.kind = reader, name, kind
        self.num_classes, self.classes = num_classes, list(classes) if classes else None
        self.channels, self.image_size, self.mean, self.std = channels, image_size, list(mean), list(std)
        self.crop, self.decoded_size = crop, decoded_size(image_size, crop or 1.0)
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.worker_timeout = worker_timeout
        self.on_device, self.balanced = on_device, balanced
        if balanced and not shuffle:
            raise UserError("data.balanced=true draws images, and data.shuffle=false keeps their order; leave one out.")
        self.augment, self.transform, self.shuffle = augment or Augment(), transform, shuffle
        self.val_fraction, self.seed = val_fraction, seed
        self.folds, self.fold = folds, fold
        self.cache, self.cache_dir = cache, Path(cache_dir) if cache_dir else None
        self.splits: dict[str, Split] = {}
        self.notes: dict[str, tuple[str, ...]] = {}  # of each part that was read
        self.order: Tensor | None = None
        self.model_classes: list[str] = []

    def unreadable(self) -> dict[str, dict[Path, str]]:
        """split -> file -> what is wrong with it, of the splits that have been read; remembered below `cache_dir`."""
        read = {name: split.paths for name, split in self.splits.items() if split.paths}
        found = {name: unreadable(paths, self.decoded_size, self.cache_dir) for name, paths in read.items()}
        return {name: files for name, files in found.items() if files}

    # --- the data and its facts

    def facts(self) -> dict[str, Any]:
        """What the data says of itself, checked against what the configuration says: num_classes and classes."""
        classes = self.model_classes or list(self.reader.classes)
        check_classes(str(self.name), self.num_classes, self.classes, classes)
        check_channels(self.channels, mean=self.mean, std=self.std)
        self.num_classes, self.classes = len(classes), classes
        return {"num_classes": len(classes), "classes": classes}

    def setup(self, stage: str = "fit") -> None:
        """Read the splits that the stage needs, once; raises UserError where they contradict the facts."""
        self.facts()
        if (stage in ("fit", "validate") or self.folds) and "train" not in self.splits:
            self.split_train()
        if stage in ("test", "predict") and "test" not in self.splits:
            test = self._read("test")
            if test is not None:
                self.splits["test"] = self._checked(test)
        if stage == "fit":
            self._check_batch_size()

    def split(self, name: str) -> Split:
        """The data of `train`, `val` or `test`, or `all` that have labels."""
        if name == WHOLE and name not in self.splits:
            self.splits[name] = self.whole()
        elif name != WHOLE:
            self.setup("test" if name == "test" else "validate")
        if name not in self.splits:
            raise UserError(f"{self.name} has no {name} images; choose another data set or split (split=val).")
        return self.splits[name]

    def summary(self) -> Summary:
        """With the number of classes, and what the reader has to say."""
        notes = dict.fromkeys(note for name in self.notes for note in self.notes[name])
        return replace(super().summary(), of=f"{self.num_classes:,} classes", notes=tuple(notes))

    def whole(self) -> Split:
        """Every image that has a label, whatever its part."""
        self.facts()
        found = [part for name in PARTS if (part := self._read(name)) is not None and part.labelled]
        if not found:
            raise UserError(f"{self.name} has no images with labels to measure on; use predict.py.")
        return self._checked(joined(found))

    def match(self, trained: Mapping[str, Any], labelled: bool) -> None:
        """Number the classes as the model does, where they are called as those that it knows, or are some of them."""
        known, own = list(map(str, trained.get("classes") or [])), list(self.reader.classes)
        if not labelled or not known or own == known:
            return
        if own == [UNLABELLED]:
            raise UserError(
                f"{self.name} has images without class folders, so there is nothing to compare with; use predict.py."
            )
        if not set(own) & set(known):
            return  # called otherwise, maybe; their number is compared with the model's
        if strange := [name for name in own if name not in known]:
            raise UserError(
                f"{self.name} has classes that the model does not know: {first_of(strange, 5)}; it knows "
                f"{first_of(known, 5)}. Rename them, or leave them out."
            )
        self.order = torch.tensor([known.index(name) for name in own])
        self.model_classes = known

    def can_be_tested(self, labelled: bool = True) -> bool:
        """Are there test images, with labels where they are asked for?"""
        self.setup("test")
        return "test" in self.splits and not (labelled and self.splits["test"].labels is None)

    def split_train(self) -> None:
        """Read what is trained on, and what of it is held out."""
        train, val = self._read("train"), self._read("val")
        if train is None or train.labels is None:
            raise UserError(
                f"{self.name} has no training images with labels, so it cannot be trained on; choose a data set that "
                f"has them."
            )
        train = self._checked(train)
        assert train.labels is not None
        if self.folds is not None:
            train = self._left_out(train, train.labels, self.folds)
        if val is None:
            assert train.labels is not None
            rest, part = stratified_split(self.strata(train.labels), self.val_fraction, self.seed)
            if not len(part):
                raise UserError(
                    f"data.val_fraction={self.val_fraction} leaves {self.name} no validation image of its {len(train)} "
                    f"training images; set a larger data.val_fraction."
                )
            train, val = train.pick(rest), train.pick(part)
        self.splits.update(train=train, val=self._checked(val))

    def _left_out(self, train: Split, labels: Tensor, folds: int) -> Split:
        """What is left of the training images; one fold of them is what is tested on."""
        if folds > len(train):
            raise UserError(
                f"data.folds is {folds}, but {self.name} has {len(train)} training images; set fewer folds."
            )
        out = stratified_folds(self.strata(labels), folds, self.seed) == self.fold
        self.splits["test"] = train.pick(out.nonzero().flatten())
        return train.pick((~out).nonzero().flatten())

    def _check_batch_size(self) -> None:
        """Raise UserError where training has no whole batch; whoever only measures needs none."""
        if self.batch_size > (size := len(self.splits["train"])):
            raise UserError(
                f"data.batch_size is {self.batch_size}, but {self.name} has {size} training images; "
                f"set data.batch_size={size} or less."
            )

    def _checked(self, split: Split) -> Split:
        if split.images is not None and split.images.shape[1] != self.channels:
            raise UserError(
                f"data.channels is {self.channels}, but the images of {self.name} have {split.images.shape[1]}; "
                f"set data.channels={split.images.shape[1]} and as many values in data.mean and data.std."
            )
        self.check_labels(split)
        return split

    def check_labels(self, split: Split) -> None:
        """Raise UserError where a label is no class."""
        if split.labels is not None and len(split.labels) and int(split.labels.max()) >= (self.num_classes or 0):
            raise UserError(
                f"{self.name} has the label {int(split.labels.max())}, but data.num_classes is {self.num_classes}; "
                f"labels count from 0 to num_classes - 1."
            )

    def strata(self, labels: Tensor) -> Tensor:
        """What a part drawn of the training images has in equal shares, int64 (N,): their classes."""
        return labels

    def renumbered(self, labels: Tensor, order: Tensor) -> Tensor:
        """The labels as a model counts classes; order: the place of each of our classes among the model's."""
        return order[labels]

    def _read(self, name: SplitName) -> Split | None:
        """What the reader has, with a place for what is decoded of it where one is asked for."""
        split = self.reader.read(name)
        if split is not None:
            self.notes[name] = split.notes
        if split is not None and split.labels is not None and self.order is not None:
            split = replace(split, labels=self.renumbered(split.labels, self.order))
        if split is None or not self.cache or self.cache_dir is None:
            return split
        if split.shards is not None:
            raise UserError("data.cache=true keeps what is decoded of files, not of shards; leave it out.")
        if split.paths is None:
            log.info("data.cache: %s, %s, is in memory already; there is nothing to keep.", self.name, name)
            return split
        return replace(split, cache=open_cache(split.paths, self.channels, self.decoded_size, self.cache_dir))

    def example(self, count: int, seed: int) -> Tensor:
        """Images of noise, (count, channels, image_size, image_size) in [0, 1]."""
        values = uniforms(mix_tensor(seed, torch.arange(count)), self.channels * self.image_size**2)
        return values.view(count, self.channels, self.image_size, self.image_size)

    # --- batches

    def train_dataloader(self) -> DataLoader[Batch] | Batches:
        train = self.split("train")
        self._check_batch_size()
        weights = even_weights(train.labels) if self.balanced else None
        order = training_order(self, len(train), self.augment.alternates, weights, blocks=train.blocks)
        return self._loader(train, order, self.transform)

    def eval_loader(self, name: str) -> DataLoader[Batch] | Batches:
        """Any split once, in its order, without augmentation."""
        split = self.split(name)
        return self._loader(split, evaluation_order(self, len(split), name), None)

    def _loader(
        self, split: Split, sampler: Sampler[tuple[Tensor, Tensor]], transform: Callable[[Tensor], Tensor] | None
    ) -> DataLoader[Batch] | Batches:
        if split.images is not None and transform is not None:
            raise UserError(
                f"data.transform works on images from files, one by one; {self.name} is in memory: use data.augment."
            )
        if self.on_device:
            self._check_on_device(split)
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            return loader(MemoryImages(split, device), sampler, 0, self.seed)
        dataset = (
            MemoryImages(split)
            if split.images is not None
            else FileImages(split, self.channels, self.decoded_size, transform)
        )
        return loader(dataset, sampler, self.num_workers, self.seed, self.worker_timeout)

    def _check_on_device(self, split: Split) -> None:
        if split.images is None:
            raise UserError(
                f"data.on_device=true keeps images in the device's memory, but those of {self.name} are read from "
                f"files; set data.reader.in_memory=true where the reader has it, or data.on_device=false."
            )
        if self.num_workers:
            raise UserError(
                f"data.num_workers is {self.num_workers}, but data.on_device=true leaves workers nothing to do; "
                f"set data.num_workers=0."
            )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        images, labels, keys = batch
        images = resize(images, self.decoded_size)
        if not (self.trainer and self.trainer.training):
            return self.as_precise((to_float(centre(images, self.image_size)), labels))
        images = to_float(self.augment.geometry(images, keys, self.image_size))
        return self.as_precise(self.augment.mix(images, labels, keys, self.num_classes or 0))


class MemoryImages(Dataset[Batch]):
    """A split in memory, or in a device's; an item is a whole batch, gathered there at once."""

    TOGETHER = 2**20  # bytes of images, in uint8; as many stay in a processor's cache

    def __init__(self, split: Split, device: torch.device | str = "cpu") -> None:
        assert split.images is not None
        self.images, self.labels = split.images.to(device), _labels(split).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Batch:
        indices, keys = batch if self.images.is_cpu else (part.to(self.images.device) for part in batch)
        # index_select copies whole images; images[indices] goes pixel by pixel, eight times slower.
        return self.images.index_select(0, indices), self.labels.index_select(0, indices), keys

    def all_of(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Batch]:
        """The items for these batches. Small ones are gathered several at once, for a call costs more than they do."""
        bytes_of_one = self.images[0].numel()
        waiting = iter(batches)
        for first in waiting:
            several = max(self.TOGETHER // (bytes_of_one * len(first[0])), 1)
            group = [first, *islice(waiting, several - 1)]
            indices, keys = (torch.cat(part) for part in zip(*group, strict=True))
            sizes = [len(part) for part, _ in group]
            yield from zip(*(part.split(sizes) for part in self[indices, keys]), strict=True)


class FileImages(Dataset[Batch]):
    """A split on disk; an item is a whole batch, decoded one by one where the split's cache does not have it.

    A sample's key seeds its transform.
    """

    def __init__(
        self, split: Split, channels: int, image_size: int, transform: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.split, self.paths, self.labels, self.cache = split, split.paths, _labels(split), split.cache
        self.channels, self.image_size, self.transform = channels, image_size, transform

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Batch:
        indices, keys = batch
        images = self.decoded(indices)
        if self.transform is not None:
            images = torch.stack([self._transformed(*pair) for pair in zip(images, keys.tolist(), strict=True)])
        return images, self.labels[indices], keys

    def decoded(self, indices: Tensor) -> Tensor:
        """uint8 (B, C, size, size), from the cache where they are there."""
        if self.cache is None:
            return torch.stack(list(self._decode(indices.tolist())))
        images, lacking = self.cache.read(indices)
        wanted = indices[lacking].tolist()
        for position, index, image in zip(lacking, wanted, self._decode(wanted), strict=True):
            images[position] = image
            self.cache.write(index, image)
        return images

    def _decode(self, indices: Sequence[int]) -> Iterator[Tensor]:
        for source in self.split.sources(indices):
            yield read_image(source, self.channels, self.image_size)

    def _transformed(self, image: Tensor, key: int) -> Tensor:
        assert self.transform is not None
        seed_everything(key)
        image = self.transform(image)
        if image.dtype != torch.uint8 and not (image.is_floating_point() and image.min() >= 0 and image.max() <= 1):
            raise UserError(
                f"data.transform gives {image.dtype} from {float(image.min()):g} to {float(image.max()):g}; expected "
                f"uint8, or floats in [0, 1] (the model normalises)."
            )
        return image


def even_weights(labels: Tensor | None) -> Tensor:
    """One over the size of a sample's class: labels int64 (N,), returns float (N,)."""
    assert labels is not None
    return 1 / torch.bincount(labels).float()[labels]


def resize(images: Tensor, size: int) -> Tensor:
    """(B, C, H, W) to (B, C, size, size), bilinear with antialiasing; images of that size are left alone."""
    if images.shape[-2:] == (size, size):
        return images
    return interpolate(images.float(), (size, size), mode="bilinear", antialias=True).round_().to(images.dtype)


def decoded_size(image_size: int, crop: float) -> int:
    """Pixels of the side of an image of which the middle, `image_size`, is to be a share `crop`."""
    return round(image_size / crop)


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] to float32 in [0, 1]; float images are left alone."""
    return images if images.is_floating_point() else images.float().mul_(1 / 255)


def _labels(split: Split) -> Tensor:
    """The labels, or -1 where they are unknown."""
    return split.labels if split.labels is not None else torch.full((len(split),), -1)
