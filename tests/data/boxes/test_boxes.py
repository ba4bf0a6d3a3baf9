"""Boxes move as their image moves; a sample's augmentation is a function of its key; crowds are for evaluation."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from lightloom.core.errors import UserError
from lightloom.data.boxes.augment import BoxAugment, apply, mosaic
from lightloom.data.boxes.datamodule import DetectionDataModule
from lightloom.data.boxes.scenes import DigitScenes, Scenes
from lightloom.ops.rng import seed_everything


def painted(seed: int, size: tuple[int, int] = (80, 100)) -> tuple[Tensor, dict[str, Tensor]]:
    """Three rectangles of different grey on black, apart from each other, with boxes and masks."""
    generator = torch.Generator().manual_seed(seed)
    boxes = []
    for column in range(3):
        low = torch.tensor([4 + 32 * column, 4]) + torch.randint(0, 8, (2,), generator=generator)
        boxes.append(torch.cat([low, low + torch.randint(10, 20, (2,), generator=generator)]))
    masks = torch.zeros(3, *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    image = (masks * torch.tensor([80, 160, 240], dtype=torch.uint8)[:, None, None]).sum(0, dtype=torch.uint8)
    return image.expand(3, -1, -1).contiguous(), {
        "boxes": torch.stack(boxes).float(),
        "labels": torch.tensor([1, 2, 3]),
        "image_id": torch.tensor(seed),
        "area": masks.flatten(1).sum(1).float(),
        "iscrowd": torch.zeros(3, dtype=torch.int64),
        "masks": masks,
    }


CHANGES = {
    "flip": partial(BoxAugment, flip=1.0),
    "iou_crop": partial(BoxAugment, iou_crop=1.0),
    "flip_and_crop": partial(BoxAugment, flip=0.5, iou_crop=0.5),
    "vertical": partial(v2.RandomVerticalFlip, 1.0),
    "crop": partial(v2.RandomCrop, (50, 60)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_boxes_move_as_the_painted_image_moves(name):
    """The changed boxes, and masks, are those that the changed pixels show; SSD's crop loses those it cuts in half."""
    change = CHANGES[name]()
    for seed in range(20):
        seed_everything(seed)
        image, target = apply(change, *painted(seed))
        greys = image[0].unique()
        shown = [label for label in (1, 2, 3) if 80 * label in greys]
        if "crop" in name and name != "crop":
            assert set(target["labels"].tolist()) <= set(shown)
            shown = target["labels"].tolist()
        assert target["labels"].tolist() == shown
        if shown:
            seen = torch.stack([image[0] == 80 * label for label in shown])
            assert torch.equal(target["boxes"], masks_to_boxes(seen) + torch.tensor([0, 0, 1, 1]))
            assert torch.equal(target["masks"], seen.to(torch.uint8))
            assert torch.equal(target["area"], seen.flatten(1).sum(1).float())


def test_large_scale_jitter_scales_boxes_with_the_image():
    for seed in range(20):
        seed_everything(seed)
        image, target = apply(BoxAugment(jitter=[0.5, 2.0], image_size=96), *painted(seed))
        assert image.shape == (3, 96, 96)
        if len(target["boxes"]):
            seen = torch.stack([mask.bool() for mask in target["masks"]])
            extents = masks_to_boxes(seen) + torch.tensor([0, 0, 1, 1])
            assert (extents - target["boxes"]).abs().max() <= 1.01  # masks are scaled to the nearest pixel


def test_two_flips_are_none():
    image, target = painted(0)
    flip = BoxAugment(flip=1.0)
    twice, back = apply(flip, *apply(flip, image, target))
    assert torch.equal(twice, image)
    assert all(torch.equal(back[name], target[name]) for name in target)


def test_boxes_move_as_the_images_of_a_mosaic_move():
    """Masks and boxes are those that the pixels show; images keep their scale where they have the mosaic's size."""
    for seed in range(10):
        seed_everything(seed)
        samples = [painted(4 * seed + i, (100, 100)) for i in range(4)]
        image, target = mosaic(samples, 100)
        assert image.shape == (3, 100, 100)
        assert torch.equal(image[0], (target["masks"] * (80 * target["labels"]).byte()[:, None, None]).sum(0).byte())
        assert torch.equal(target["boxes"], masks_to_boxes(target["masks"]) + torch.tensor([0, 0, 1, 1]))
        assert int(target["image_id"]) == 4 * seed


def test_an_image_without_boxes_stays_one():
    image, target = painted(0)
    empty = {name: value if name == "image_id" else value[:0] for name, value in target.items()}
    changed, found = apply(
        BoxAugment(flip=0.5, colour=0.5, iou_crop=1.0, jitter=[0.5, 1.0], image_size=64), image, empty
    )
    assert changed.shape == (3, 64, 64)
    assert found["boxes"].shape == (0, 4)
    assert found["masks"].shape == (0, 64, 64)


def test_a_range_of_jitter_is_checked():
    with pytest.raises(UserError, match=r"data\.augment\.jitter is \[2, 1\]"):
        BoxAugment(jitter=[2, 1])


# the datamodule


def datamodule(**options) -> DetectionDataModule:
    facts = {"name": "scenes", "kind": "detection", "num_classes": None, "classes": None, "channels": 3}
    facts |= {"image_size": 64, "has_masks": None, "batch_size": 4, "eval_batch_size": 3}
    reader = options.pop("reader", DigitScenes(64, 16, 7, 7))
    return DetectionDataModule(reader=reader, **facts | options)


def batches(data: DetectionDataModule, epoch: int = 0) -> list:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def equal(a, b) -> bool:
    same_images = all(torch.equal(x, y) for x, y in zip(a[0], b[0], strict=True))
    return same_images and all(
        s.keys() == t.keys() and all(torch.equal(s[k], t[k]) for k in s) for s, t in zip(a[1], b[1], strict=True)
    )


def test_batches_are_a_function_of_seed_and_epoch_whatever_the_workers():
    augment = BoxAugment(flip=0.5, colour=0.4, iou_crop=0.5, mosaic=0.5)
    plain, again, workers = (batches(datamodule(augment=augment, num_workers=n)) for n in (0, 0, 1))
    assert all(equal(a, b) for a, b in zip(plain, again, strict=True))
    assert all(equal(a, b) for a, b in zip(plain, workers, strict=True))
    assert not equal(plain[0], batches(datamodule(augment=augment), epoch=1)[0])


def test_a_run_resumes_at_its_batch():
    whole = datamodule(augment=BoxAugment(flip=0.5))
    resumed = datamodule(augment=BoxAugment(flip=0.5))
    resumed.resume_at(1, 2)
    rest = list(resumed.train_dataloader())
    assert all(equal(a, b) for a, b in zip(batches(whole, epoch=1)[2:], rest, strict=True))


def test_evaluation_sees_each_image_once_and_unchanged():
    data = datamodule(augment=BoxAugment(flip=1.0))
    seen = [(x, t) for batch in data.val_dataloader() for x, t in zip(*batch, strict=True)]
    assert [int(t["image_id"]) for _, t in seen] == list(range(7))
    assert all(equal(([x], [t]), ([y], [s])) for (x, t), (y, s) in zip(seen, data.split("val"), strict=True))


def test_images_are_floats_from_0_to_1():
    data = datamodule()
    raw = next(iter(data.train_dataloader()))
    images, _ = data.on_after_batch_transfer(raw, 0)
    assert all(torch.equal((x * 255).round().byte(), y) for x, y in zip(images, raw[0], strict=True))


class WithCrowds(DigitScenes):
    """Scenes whose first object is a crowd."""

    def read(self, split):
        return Crowds(self.seed, split, self.sizes[split], self.image_size, self.max_digits)


class Crowds(Scenes):
    def __getitem__(self, index):
        image, target = super().__getitem__(index)
        target["iscrowd"][0] = 1
        return image, target


def test_crowds_are_evaluated_and_not_trained_on():
    data = datamodule(reader=WithCrowds(64, 16, 7, 7))
    assert all(t["iscrowd"].sum() == 0 for _, targets in data.train_dataloader() for t in targets)
    assert all(t["iscrowd"].sum() == 1 for _, targets in data.val_dataloader() for t in targets)


def test_masks_that_are_not_wanted_are_left_out():
    data = datamodule(has_masks=False)
    assert all("masks" not in t for _, targets in data.train_dataloader() for t in targets)
    assert data.facts()["has_masks"] is False


def test_facts_that_contradict_the_data_are_told():
    with pytest.raises(UserError, match=r"set data\.num_classes=10"):
        datamodule(num_classes=11).facts()
    with pytest.raises(UserError, match=r"set data\.classes=null"):
        datamodule(classes=["a"]).facts()
    with pytest.raises(UserError, match=r"set data\.batch_size=16 or less"):
        datamodule(batch_size=17).setup("fit")
