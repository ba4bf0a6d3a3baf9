"""Images with masks: any reader's data as batches of float images in [0, 1] and the class of each pixel.

Images stay uint8 until they are on the device. A sample's key seeds its augmentation, image and mask together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Positive, Seed, Workers
from lightloom.data.contract import WHOLE, Summary
from lightloom.data.images.datamodule import to_float
from lightloom.data.images.layout import PARTS
from lightloom.data.joined import Joined
from lightloom.data.loading import (
    TIMEOUT,
    Batches,
    KeyedDataModule,
    blocks_of,
    evaluation_order,
    fetch,
    loader,
    training_order,
)
from lightloom.data.masks.augment import resized
from lightloom.data.masks.decode import IGNORE
from lightloom.data.masks.split import MaskFiles, Reader, Split
from lightloom.data.masks.validation import unreadable
from lightloom.data.sampling import stratified_split
from lightloom.data.stated import check_channels, check_classes
from lightloom.ops.rng import mix_tensor, seed_everything, uniforms

Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class SegmentationDataModule(KeyedDataModule):
    """One private loader for all splits of a reader.

    A training batch is (images, masks): float (B, C, height, width) in [0, 1] and int64 (B, height, width), the class
    of each pixel or 255. In evaluation both are lists, of images at the size that the model sees and of masks at their
    own. image_size: the shorter side that images are resized to, null for their own. height, width: of the training
    crops. Facts that are None are found in the data. batch_size: images per step over all processes.
    cache_dir: remembers which files were found to be whole.
    """

    items: ClassVar[str] = "images"
    must_match: ClassVar[tuple[str, ...]] = ("channels",)
    labels_must_match: ClassVar[tuple[str, ...]] = ("num_classes",)
    names_of_labels: ClassVar[tuple[str, ...]] = ("classes",)
    adopts: ClassVar[tuple[str, ...]] = ("image_size",)

    def __init__(
        self,
        reader: Reader,
        name: str,
        kind: str,
        num_classes: Count | None,
        classes: Sequence[str] | None,
        channels: Annotated[int, Ge(1), Le(3)],
        image_size: Count | None,
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
        self.num_classes, self.classes = num_classes, list(classes) if classes else None
        self.channels, self.image_size, self.height, self.width = channels, image_size, height, width
        self.mean, self.std = list(mean), list(std)
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.worker_timeout, self.augment, self.shuffle = worker_timeout, augment, shuffle
        self.val_fraction, self.seed = val_fraction, seed
        self.cache_dir = Path(cache_dir) if cache_dir else None

    # --- the data and its facts

    def facts(self) -> dict[str, Any]:
        """What the data says of itself, checked against the configuration: num_classes and classes."""
        classes = list(self.reader.classes)
        check_classes(str(self.name), self.num_classes, self.classes, classes)
        check_channels(self.channels, mean=self.mean, std=self.std)
        self.num_classes, self.classes = len(classes), classes
        return {"num_classes": len(classes), "classes": classes}

    def split(self, name: str) -> Split:
        """The data of `train`, `val` or `test`."""
        if self.classes is None:
            self.facts()
        if name == WHOLE and name not in self.splits:
            self.splits[name] = self.whole()
        elif name not in self.splits and name != "test":
            self._split_train()
        elif name not in self.splits:
            test = self.reader.read("test")
            if test is None:
                raise UserError(f"{self.name} has no test images; choose another data set or split (split=val).")
            self.splits["test"] = test
        return self.splits[name]  # type: ignore[no-any-return]

    def whole(self) -> Split:
        """Every image that has a mask, whatever its part."""
        found = [part for name in PARTS if (part := self.reader.read(name)) is not None and part.labelled]
        return Joined(found)

    def _split_train(self) -> None:
        train, val = self.reader.read("train"), self.reader.read("val")
        if train is None or not train.labelled:
            raise UserError(f"{self.name}: there are no training images with masks; use a data set that has them.")
        if val is None:
            rest, part = stratified_split(torch.zeros(len(train), dtype=torch.int64), self.val_fraction, self.seed)
            if not len(part):
                raise UserError(
                    f"data.val_fraction={self.val_fraction} leaves {self.name} no validation image of its {len(train)} "
                    f"training images; set a larger data.val_fraction."
                )
            train, val = train.pick(rest), train.pick(part)
        self.splits.update(train=train, val=val)

    def _check_batch_size(self) -> None:
        """Raise UserError where training has no whole batch; whoever only measures needs none."""
        if self.batch_size > (size := len(self.splits["train"])):
            raise UserError(
                f"data.batch_size is {self.batch_size}, but {self.name} has {size} training images; "
                f"set data.batch_size={size} or less."
            )

    def setup(self, stage: str = "fit") -> None:
        """Read the splits that the stage needs, once."""
        if stage in ("fit", "validate"):
            self.split("train")
        if stage == "fit":
            self._check_batch_size()

    def summary(self) -> Summary:
        return replace(super().summary(), of=f"{self.num_classes:,} classes")

    def unreadable(self) -> dict[str, dict[Path, str]]:
        """Split -> path -> what is wrong with it, of the splits that were read."""
        files = {name: split for name, split in self.splits.items() if isinstance(split, MaskFiles)}
        found = {name: unreadable(split, self.cache_dir) for name, split in files.items()}
        return {name: wrong for name, wrong in found.items() if wrong}

    def class_shares(self) -> Tensor:
        """Of each class, its pixels over those of the training images that have it, (K,); 0 of one that none has."""
        train = self.split("train")
        counts = torch.stack([_counts(train[i][1], self.num_classes or 0) for i in range(len(train))]).double()
        with_class = (counts > 0) * counts.sum(1, keepdim=True)
        return (counts.sum(0) / with_class.sum(0).clamp(min=1)).float()

    def example(self, count: int, seed: int) -> Tensor:
        """Images of noise, (count, channels, height, width) in [0, 1]."""
        values = uniforms(mix_tensor(seed, torch.arange(count)), self.channels * self.height * self.width)
        return values.view(count, self.channels, self.height, self.width)

    # --- batches

    def train_dataloader(self) -> DataLoader[Any] | Batches:
        train = self.split("train")
        self._check_batch_size()
        dataset = TrainingMasks(train, self.image_size, self.augment)
        order = training_order(self, len(train), blocks=blocks_of(train))
        return loader(dataset, order, self.num_workers, self.seed, self.worker_timeout)

    def eval_loader(self, name: str) -> DataLoader[Any] | Batches:
        """Any split once, in its order, without augmentation, with masks at their own size."""
        split = self.split(name)
        order = evaluation_order(self, len(split), name)
        dataset = WholeMasks(split, self.image_size)
        return loader(dataset, order, self.num_workers, self.seed, self.worker_timeout)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        images, masks = batch
        if isinstance(images, Tensor):
            return self.as_precise(to_float(images)), masks.long()
        return [self.as_precise(to_float(image)) for image in images], [mask.long() for mask in masks]


class TrainingMasks(Dataset[tuple[Tensor, Tensor]]):
    """A split of which an item is a whole batch of crops: uint8 (B, C, H, W) and (B, H, W). A key seeds its sample."""

    def __init__(self, split: Split, side: int | None, augment: Augment) -> None:
        self.split, self.side, self.augment = split, side, augment

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        indices, keys = batch
        fetch(self.split, indices)
        pairs = [self._item(i, key) for i, key in zip(indices.tolist(), keys.tolist(), strict=True)]
        return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])

    def _item(self, index: int, key: int) -> tuple[Tensor, Tensor]:
        image, mask = self.split[index]
        if self.side:
            image, mask = resized(image, mask, fitted_size(mask.shape, self.side))
        seed_everything(key)
        return self.augment(image, mask)


class WholeMasks(Dataset[tuple[list[Tensor], list[Tensor]]]):
    """A split of which an item is a whole batch: lists of images, uint8, resized, and of masks as they are."""

    def __init__(self, split: Split, side: int | None) -> None:
        self.split, self.side = split, side
        self.paths = getattr(split, "paths", None)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        fetch(self.split, batch[0])
        pairs = [self.split[i] for i in batch[0].tolist()]
        return [fitted(image, self.side) for image, _ in pairs], [mask for _, mask in pairs]


def fitted(image: Tensor, side: int | None) -> Tensor:
    """An image (C, H, W) with its shorter side of so many pixels; as it is where that is None."""
    size = image.shape[-2:] if side is None else fitted_size(image.shape[-2:], side)
    return resized(image, torch.zeros(image.shape[-2:], dtype=torch.uint8), size)[0]


def fitted_size(size: Sequence[int], side: int) -> list[int]:
    """(height, width) with the shorter side of so many pixels."""
    shorter = min(size)
    return [max(1, round(length * side / shorter)) for length in size]


def _counts(mask: Tensor, num_classes: int) -> Tensor:
    return mask[mask != IGNORE].long().bincount(minlength=num_classes)
