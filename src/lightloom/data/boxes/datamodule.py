"""Images with boxes: any reader's data as batches of lists, float images in [0, 1] and torchvision's targets.

Images stay uint8 until they are on the device. A sample's key seeds its augmentation, image and boxes together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Positive, Seed, Workers
from lightloom.core.text import first_of
from lightloom.data.boxes.annotations import AnnotatedImages, Target
from lightloom.data.boxes.augment import apply, mosaic, pick
from lightloom.data.boxes.proposals import KeptProposals, Propose
from lightloom.data.boxes.validation import Faults, look, mended, open_files, report
from lightloom.data.contract import WHOLE, Summary
from lightloom.data.identity import Identity
from lightloom.data.images.datamodule import to_float
from lightloom.data.images.layout import PARTS
from lightloom.data.images.readers import SplitName
from lightloom.data.loading import (
    TIMEOUT,
    Batches,
    KeyedDataModule,
    blocks_of,
    evaluation_order,
    fetch,
    loader,
    rank_of,
    training_order,
)
from lightloom.data.sampling import stratified_split
from lightloom.data.stated import check_classes
from lightloom.ops.rng import mix, mix_tensor, seed_everything, uniforms

Batch = tuple[list[Tensor], list[Target]]
Augment = Callable[[Tensor, Target], tuple[Tensor, Target]]
TEST = -3  # by which the draw of a test part differs from that of a validation part


class Split(Protocol):
    """Images with what is known of them, in an order. labelled: have they boxes, or (a test's) none known?"""

    @property
    def has_masks(self) -> bool: ...

    @property
    def labelled(self) -> bool: ...

    def identity(self) -> Identity: ...

    def pick(self, indices: Tensor) -> Split: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, Target]: ...


class Reader(Protocol):
    """A layout on disk. `read` gives None for a split that the data does not have."""

    @property
    def classes(self) -> list[str]: ...

    @property
    def has_masks(self) -> bool: ...

    def read(self, split: SplitName) -> Split | None: ...


class DetectionDataModule(KeyedDataModule):
    """One private loader for all splits of a reader.

    A batch is (images, targets): a list of float (C, H, W) in [0, 1] and one of dicts with boxes float32 (N, 4), xyxy
    in pixels, labels int64 (N,) from 1, image_id int64 (), area float32 (N,), iscrowd int64 (N,) and, where the data
    has them, masks uint8 (N, H, W); in training also key int64 (), by which all chance about the image is drawn; where
    `proposals` finds them in an image, proposals float32 (M, 4), which move with the boxes. Crowds are for evaluation:
    training batches hold none. Label i is classes[i - 1]. Facts that are None are found in the data. batch_size: images
    per step over all processes. cache_dir: remembers which image files are whole, and proposals. val_fraction,
    test_fraction: of the training images, where the data has no such part.
    """

    items: ClassVar[str] = "images"
    must_match: ClassVar[tuple[str, ...]] = ("channels",)
    labels_must_match: ClassVar[tuple[str, ...]] = ("num_classes", "classes")  # boxes carry names, in files too
    adopts: ClassVar[tuple[str, ...]] = ("image_size",)
    splits_by: ClassVar[tuple[str, ...]] = ("seed", "val_fraction", "test_fraction")

    def __init__(
        self,
        reader: Reader,
        name: str,
        kind: str,
        num_classes: Count | None,
        classes: Sequence[str] | None,
        channels: Annotated[int, Ge(1), Le(3)],
        image_size: Count,
        has_masks: bool | None,
        batch_size: Count,
        eval_batch_size: Count,
        augment: Augment | None = None,
        transform: Callable[..., Any] | None = None,
        proposals: Propose | None = None,
        root: str = "",
        images: str | None = None,
        annotations: str | None = None,
        cache_dir: str | None = None,
        val_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.1,
        test_fraction: Annotated[float, Ge(0), Le(0.9)] = 0.0,
        seed: Seed = 0,
        num_workers: Workers = 0,
        worker_timeout: Positive = TIMEOUT,
        shuffle: bool = True,
    ) -> None:
        super().__init__()
        self.reader, self.name, self.kind = reader, name, kind
        self.num_classes, self.classes, self.has_masks = num_classes, list(classes) if classes else None, has_masks
        self.channels, self.image_size = channels, image_size
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.worker_timeout = worker_timeout
        self.augment, self.transform, self.shuffle = augment, transform, shuffle
        self.val_fraction, self.test_fraction, self.seed = val_fraction, test_fraction, seed
        self.cache_dir = cache_dir
        folder = Path(cache_dir, "proposals") if cache_dir else None
        self.proposals = KeptProposals(proposals, folder) if proposals else None
        self.splits: dict[str, Split] = {}
        self.faults: dict[str, Faults] = {}
        self.model_classes: list[str] = []  # of a model before which this set is put, and their numbers there
        self.order: Tensor | None = None

    # --- the data and its facts

    def facts(self) -> dict[str, Any]:
        """What the data says of itself, checked against the configuration: num_classes, classes and has_masks."""
        classes, has_masks = self.model_classes or list(self.reader.classes), bool(self.reader.has_masks)
        check_classes(str(self.name), self.num_classes, self.classes, classes, ", background not counted")
        if self.has_masks and not has_masks:
            raise UserError(f"data.has_masks is true, but {self.name} has boxes only; set data.has_masks=null.")
        self.num_classes, self.classes = len(classes), classes
        self.has_masks = has_masks if self.has_masks is None else self.has_masks
        return {"num_classes": len(classes), "classes": classes, "has_masks": self.has_masks}

    def setup(self, stage: str = "fit") -> None:
        """Read the splits that the stage needs, once; raises UserError where they contradict the facts."""
        if self.classes is None or self.has_masks is None or not self.splits:
            self.facts()
        if stage in ("fit", "validate") and "train" not in self.splits:
            self._split_train()
        if stage in ("test", "predict") and "test" not in self.splits:
            test = self.reader.read("test")
            if test is not None:
                self.splits["test"] = self._checked(test, "test")
            elif self.test_fraction and "train" not in self.splits:
                self._split_train()
        if stage == "fit":
            self._check_batch_size()

    def split(self, name: str) -> Split:
        """The data of `train`, `val` or `test`, or `all` that have boxes."""
        if name == WHOLE and name not in self.splits:
            self.splits[name] = self.whole()
        elif name != WHOLE:
            self.setup("test" if name == "test" else "validate")
        if name not in self.splits:
            raise UserError(f"{self.name} has no {name} images; choose another data set or split (split=val).")
        return self.splits[name]

    def summary(self) -> Summary:
        """With the number of classes, that of boxes, and what was left out or mended."""
        known = [a for split in self.splits.values() if isinstance(split, AnnotatedImages) for a in split.annotations]
        notes = [f"{sum(len(a.labels) for a in known):,} boxes"] if known else []
        notes += getattr(self.reader, "told", {}).values()
        return replace(super().summary(), of=f"{self.num_classes:,} classes", notes=(*notes, *mended(self.faults)))

    def whole(self) -> Split:
        """Every image with what is known of it, whatever its part."""
        self.facts()
        parts = [self.reader.read(name) for name in PARTS]
        found = [part for part in parts if isinstance(part, AnnotatedImages) and part.labelled]
        if not found:
            raise UserError(f"{self.name} has no folder of images with boxes to measure on; say split=val.")
        numbered = [replace(a, image_id=None) for part in found for a in part.annotations]  # ids are a file's own
        return self._checked(AnnotatedImages(numbered, self.channels, found[0].has_masks), WHOLE)

    def match(self, trained: Mapping[str, Any], labelled: bool) -> None:
        """Number the classes as the model does, where they are some of those that it knows."""
        known, own = list(map(str, trained.get("classes") or [])), list(self.reader.classes)
        if not labelled or own == known or not set(own) & set(known):
            return  # as they are; where they are others, that is said of the facts
        if strange := [name for name in own if name not in known]:
            raise UserError(
                f"{self.name} has classes that the model does not know: {first_of(strange, 5)}; it knows "
                f"{first_of(known, 5)}. Rename them, or leave them out."
            )
        self.order = torch.tensor([0, *(known.index(name) + 1 for name in own)])
        self.model_classes = known

    def can_be_tested(self, labelled: bool = True) -> bool:
        """Are there test images, with boxes where they are asked for?"""
        self.setup("test")
        return "test" in self.splits and (self.splits["test"].labelled or not labelled)

    def _split_train(self) -> None:
        train, val = self.reader.read("train"), self.reader.read("val")
        if train is None or not train.labelled:
            raise UserError(f"{self.name}: there are no training images with boxes; use a data set that has them.")
        train = self._checked(train, "train")
        if self.test_fraction and self.reader.read("test") is None:
            train, self.splits["test"] = self._parted(train, "test", self.test_fraction, mix(self.seed, TEST))
        if val is None:
            train, val = self._parted(train, "val", self.val_fraction, self.seed)
        else:
            val = self._checked(val, "val")
        self.splits.update(train=train, val=val)

    def _check_batch_size(self) -> None:
        if self.batch_size > len(train := self.splits["train"]):
            raise UserError(
                f"data.batch_size is {self.batch_size}, but {self.name} has {len(train)} training images; "
                f"set data.batch_size={len(train)} or less."
            )

    def _parted(self, split: Split, name: str, fraction: float, seed: int) -> tuple[Split, Split]:
        """(the rest, a part) of a split, drawn from the seed."""
        rest, part = stratified_split(torch.zeros(len(split), dtype=torch.int64), fraction, seed)
        if not len(part) or not len(rest):
            option = f"data.{name}_fraction"
            what = {"val": "validation"}.get(name, name)
            raise UserError(
                f"{option}={fraction} leaves {self.name} no {what if len(rest) else 'training'} image of its "
                f"{len(split)} training images; set a {'larger' if len(rest) else 'smaller'} {option}."
            )
        return split.pick(rest), split.pick(part)

    def _checked(self, split: Split, name: str) -> Split:
        """Files are looked at, their boxes mended; UserError names what remains wrong."""
        if not isinstance(split, AnnotatedImages):
            renumbered = getattr(split, "renumbered", None)
            return renumbered(self.order) if renumbered and self.order is not None else split
        files = open_files([a.path for a in split.annotations], cache_dir=self.cache_dir)
        if self.order is not None:
            split.annotations = [replace(a, labels=self.order[a.labels]) for a in split.annotations]
        split.annotations, faults = look(split.annotations, self.num_classes or 0, files)
        report(faults, f"{self.name} {name}")
        if name == "train":
            self._check_learnable(split)
        self.faults[name] = faults
        return split

    def _check_learnable(self, split: AnnotatedImages) -> None:
        """Raise UserError where no image has a box to learn from."""
        if not any(len(a.labels) for a in split.annotations):
            raise UserError(f"{self.name}: none of its {len(split)} training images has a box; check the annotations.")
        if all(bool(a.iscrowd.all()) for a in split.annotations):
            raise UserError(
                f"{self.name}: all objects of its {len(split)} training images are marked as difficult or as crowds, "
                f"which are not trained on; for difficult ones of Pascal VOC set data.reader.use_difficult=true."
            )

    def example(self, count: int, seed: int) -> list[Tensor]:
        """Images of noise, each (channels, image_size, image_size) in [0, 1]."""
        values = uniforms(mix_tensor(seed, torch.arange(count)), self.channels * self.image_size**2)
        return list(values.view(count, self.channels, self.image_size, self.image_size))

    # --- batches

    def train_dataloader(self) -> DataLoader[Batch] | Batches:
        train = self.split("train")
        changes = [change for change in (self.augment, self.transform) if change]
        share = getattr(self.augment, "mosaic", 0.0)
        self._prepare_proposals("train")
        dataset = TrainingImages(train, bool(self.has_masks), self.proposals, changes, share, self.image_size)
        order = training_order(self, len(train), blocks=blocks_of(train))
        return loader(dataset, order, self.num_workers, self.seed, self.worker_timeout)

    def eval_loader(self, name: str) -> DataLoader[Batch] | Batches:
        """Any split once, in its order, without augmentation, with its crowds."""
        split = self.split(name)
        order = evaluation_order(self, len(split), name)
        self._prepare_proposals(name)
        dataset = BoxedImages(split, bool(self.has_masks), self.proposals)
        return loader(dataset, order, self.num_workers, self.seed, self.worker_timeout)

    def _prepare_proposals(self, name: str) -> None:
        """Let this process find those of its share of a split's images before they are asked for."""
        if self.proposals:
            split, (rank, world_size) = self.split(name), rank_of(self)
            self.proposals.prepare(split, range(rank, len(split), world_size), name)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        images, targets = batch
        return self.as_precise([to_float(image) for image in images]), targets


class BoxedImages(Dataset[Batch]):
    """A split of which an item is a whole batch: lists of images, uint8, and of targets."""

    def __init__(self, split: Split, has_masks: bool, proposals: KeptProposals | None = None) -> None:
        self.split, self.has_masks, self.proposals = split, has_masks, proposals

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, batch: tuple[Tensor, Tensor]) -> Batch:
        indices, keys = batch
        fetch(self.split, indices)
        pairs = [self._item(i, key) for i, key in zip(indices.tolist(), keys.tolist(), strict=True)]
        return [image for image, _ in pairs], [target for _, target in pairs]

    def _item(self, index: int, key: int) -> tuple[Tensor, Target]:
        image, target = self.split[index]
        kept = {name: value for name, value in target.items() if name != "masks" or self.has_masks}
        return image, kept | ({"proposals": self.proposals(image)} if self.proposals else {})


class TrainingImages(BoxedImages):
    """Images without their crowds, some of them mosaics, changed by each of `changes` in turn.

    A sample's key seeds all of it. mosaic: the share of mosaics; size: the side of one, in pixels.
    """

    def __init__(
        self,
        split: Split,
        has_masks: bool,
        proposals: KeptProposals | None,
        changes: Sequence[Augment],
        mosaic: float = 0.0,
        size: int = 0,
    ) -> None:
        super().__init__(split, has_masks, proposals)
        self.changes, self.mosaic, self.size = changes, mosaic, size

    def _item(self, index: int, key: int) -> tuple[Tensor, Target]:
        image, target = self._single(index)
        if self.changes:
            seed_everything(key)
        if self.mosaic and torch.rand(()) < self.mosaic:
            others = [self._single(i) for i in torch.randint(len(self.split), (3,)).tolist()]
            image, target = mosaic([(image, target), *others], self.size)
        for change in self.changes:
            image, target = apply(change, image, target)
        return image, target | {"key": torch.tensor(key)}

    def _single(self, index: int) -> tuple[Tensor, Target]:
        image, target = super()._item(index, 0)
        return image, pick(target, (target["iscrowd"] == 0).nonzero().flatten())
