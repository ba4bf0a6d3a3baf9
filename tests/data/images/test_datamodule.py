"""Images that stay on the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule, MemoryImages
from lightloom.data.images.readers import Digits, ImageFolder, Split
from lightloom.data.sampling import KeyedBatches

FACTS = {"name": "set", "kind": "image", "classes": None, "image_size": 28, "batch_size": 8, "eval_batch_size": 8}


def data(reader: Any, channels: int = 1, **options: Any) -> ImageDataModule:
    facts = {**FACTS, "num_classes": None, "channels": channels, "mean": [0.5] * channels, "std": [0.2] * channels}
    return ImageDataModule(reader, **facts, augment=Augment(), **options)


def test_a_batch_is_gathered_where_the_images_are():
    split = Split(images=torch.zeros(6, 1, 4, 4, dtype=torch.uint8), labels=torch.arange(6))
    batch = MemoryImages(split, "meta")[torch.tensor([1, 5]), torch.zeros(2, dtype=torch.long)]
    assert {part.device.type for part in batch} == {"meta"}
    assert [tuple(part.shape) for part in batch] == [(2, 1, 4, 4), (2,), (2,)]


def test_the_batches_are_the_same():
    for ours, theirs in zip(*(data(Digits(), on_device=on).train_dataloader() for on in (True, False)), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("together", [1, 5 * 784, 40 * 784, 2**20])
def test_a_batch_is_the_same_with_whomever_it_is_gathered(together, monkeypatch):
    """`together`: bytes at once; an eighth of a batch's, five batches', more than all. Read from its middle too."""
    monkeypatch.setattr(MemoryImages, "TOGETHER", together)
    split = Split(images=torch.randint(256, (53, 1, 28, 28), dtype=torch.uint8), labels=torch.arange(53))
    images, order = MemoryImages(split), KeyedBatches(53, 8, seed=1)
    for start in (0, 4):
        order.start_at(start)
        alone = [images[batch] for batch in order]
        order.start_at(start)
        found = list(images.all_of(order))
        assert len(found) == 6 - start
        for batch, expected in zip(found, alone, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(batch, expected, strict=True))


def test_files_and_workers_do_not_fit(image_folder):
    files = ImageFolder(root=str(image_folder), channels=3, image_size=28, in_memory=False)
    with pytest.raises(UserError, match=r"read from files; set data\.reader\.in_memory=true"):
        data(files, 3, val_fraction=0.25, on_device=True).train_dataloader()
    with pytest.raises(UserError, match=r"data\.num_workers is 2, .* set data\.num_workers=0"):
        data(Digits(), on_device=True, num_workers=2).train_dataloader()


def test_the_folds_are_all_training_images_and_the_own_test_part_is_left_alone():
    held, whole = [], data(Digits()).split("train")
    for fold in range(3):
        parts = data(Digits(), folds=3, fold=fold, val_fraction=0.2)
        sizes = {name: len(parts.split(name)) for name in ("train", "val", "test")}
        assert sum(sizes.values()) == len(whole) + len(data(Digits()).split("val"))
        assert sizes["val"] == pytest.approx(0.2 * (sizes["train"] + sizes["val"]), abs=1)
        held.append(parts.split("test").images.flatten(1))
    training = Digits().read("train").images.flatten(1)
    assert torch.equal(torch.cat(held).sort(0).values, training.sort(0).values)


@pytest.mark.parametrize(("folds", "fold", "said"), [(3, 3, "folds count from 0 to 2"), (5000, 0, "set fewer folds")])
def test_folds_that_cannot_be_are_refused(folds, fold, said):
    with pytest.raises(UserError, match=said):
        data(Digits(), folds=folds, fold=fold).split("train")
