"""Proposals are found once, kept whole, and move as boxes do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from lightloom.data.boxes.annotations import Target
from lightloom.data.boxes.augment import BoxAugment, IoUCrop, apply, mosaic, pick
from lightloom.data.boxes.datamodule import DetectionDataModule
from lightloom.data.boxes.proposals import KeptProposals, recall
from lightloom.data.boxes.scenes import DigitScenes
from lightloom.ops.images.selective_search import SelectiveSearch
from lightloom.ops.rng import seed_everything

SEARCH = SelectiveSearch(scales=[100], longest=64, most=50)


class Counted:
    """Corners of the image, and how often it was asked."""

    def __init__(self, name: str = "counted") -> None:
        self.name, self.asked = name, 0

    def __repr__(self) -> str:
        return self.name

    def __call__(self, image: Tensor) -> Tensor:
        self.asked += 1
        height, width = image.shape[1:]
        return torch.tensor([[0, 0, width, height], [0, 0, 5, 6]], dtype=torch.int16)


def image(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# --- kept


def test_an_image_is_searched_once_whoever_asks(tmp_path):
    search = Counted()
    first = KeptProposals(search, tmp_path)(image())
    assert first.tolist() == [[0, 0, 30, 20], [0, 0, 5, 6]]
    assert first.dtype == torch.float32
    assert torch.equal(KeptProposals(search, tmp_path)(image()), first)
    assert search.asked == 1
    KeptProposals(search, tmp_path)(image(1))
    KeptProposals(search, tmp_path)(image().transpose(1, 2))  # of the same bytes in part
    assert search.asked == 3


def test_another_search_keeps_its_own(tmp_path):
    one, other = Counted(), Counted("other")
    for search in (one, other, one, other):
        KeptProposals(search, tmp_path)(image())
    assert (one.asked, other.asked) == (1, 1)


@pytest.mark.parametrize(
    "change", [lambda b: b[:-3], lambda b: b[:5] + b"x" + b[6:], lambda b: b"", lambda b: b + b[-8:]]
)
def test_a_file_that_is_not_whole_is_written_anew(tmp_path, change):
    search = Counted()
    kept = KeptProposals(search, tmp_path)
    expected = kept(image())
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    assert torch.equal(kept(image()), expected)
    assert (search.asked, file.read_bytes()) == (2, whole)


def test_a_disk_that_keeps_nothing_is_no_reason_to_end(tmp_path):
    (tmp_path / "file").write_text("")
    search = Counted()
    kept = KeptProposals(search, tmp_path / "file")
    assert torch.equal(kept(image()), kept(image()))
    assert search.asked == 2


def test_an_image_without_proposals_keeps_that(tmp_path):
    kept = KeptProposals(lambda image: torch.zeros(0, 4, dtype=torch.int16), tmp_path)
    assert kept(image()).shape == kept(image()).shape == (0, 4)


# --- moved


def target() -> Target:
    """A box, and proposals of which the first is it."""
    box = torch.tensor([[4.0, 3, 14, 12]])
    others = torch.tensor([[0.0, 0, 30, 20], [20, 10, 29, 19], [5, 5, 9, 9]])
    return {
        "boxes": box,
        "labels": torch.tensor([1]),
        "image_id": torch.tensor(0),
        "area": torch.tensor([90.0]),
        "iscrowd": torch.zeros(1, dtype=torch.int64),
        "proposals": torch.cat([box, others]),
    }


CHANGES = {
    "flip": v2.RandomHorizontalFlip(1.0),
    "iou_crop": IoUCrop(),
    "resize": v2.Resize((40, 45)),
    "all": BoxAugment(flip=0.5, colour=0.4, iou_crop=1.0, jitter=[0.5, 1.5], image_size=24),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_moves_a_box_moves_the_proposal_on_it(change):
    kept = 0
    for seed in range(20):
        seed_everything(seed)
        changed, found = apply(change, image(), target())
        size = torch.tensor(changed.shape[1:]).flip(0)
        assert (found["proposals"][:, 2:] <= size).all()
        assert (found["proposals"][:, 2:] - found["proposals"][:, :2] >= 1).all()
        for box in found["boxes"]:
            kept += 1
            assert (found["proposals"] == box).all(1).any()
    assert kept >= 5


def test_a_mirrored_proposal_is_where_it_was_in_the_mirror():
    _, found = apply(v2.RandomHorizontalFlip(1.0), image(), target())
    assert found["proposals"][:2].tolist() == [[16, 3, 26, 12], [0, 0, 30, 20]]


def test_a_mosaic_has_the_proposals_of_its_parts():
    seed_everything(3)
    changed, found = mosaic([(image(i), target()) for i in range(4)], 24)
    assert changed.shape == (3, 24, 24)
    assert len(found["proposals"]) > 4
    assert all((found["proposals"] == box).all(1).any() for box in found["boxes"])


def test_boxes_are_picked_without_their_images_proposals():
    assert len(pick(target(), torch.zeros(0, dtype=torch.int64))["proposals"]) == 4


# --- by the datamodule


def datamodule(folder: Path, **options) -> DetectionDataModule:
    return DetectionDataModule(
        reader=DigitScenes(64, 6, 2, 2, max_digits=2),
        **{"name": "scenes", "kind": "detection", "num_classes": None, "classes": None, "channels": 3},
        **{"image_size": 64, "has_masks": None, "batch_size": 3, "eval_batch_size": 2, "proposals": SEARCH},
        **{"cache_dir": str(folder), **options},
    )


def test_every_sample_has_the_proposals_of_its_image(tmp_path):
    data = datamodule(tmp_path)
    data.setup("fit")
    for images, targets in (*data.train_dataloader(), *data.val_dataloader()):
        for one, known in zip(images, targets, strict=True):
            assert torch.equal(known["proposals"], SEARCH(one).float())
    files = [path for path in (tmp_path / "proposals").rglob("*") if path.is_file()]
    assert len(files) == 8


def test_workers_write_the_bytes_that_one_process_writes(tmp_path):
    found = []
    for workers in (0, 2):
        data = datamodule(tmp_path / str(workers), num_workers=workers)
        data.setup("fit")
        list(data.train_dataloader())
        found.append({p.name: p.read_bytes() for p in (tmp_path / str(workers)).rglob("*") if p.is_file()})
    assert found[0] == found[1]
    assert len(found[0]) == 6


# --- recall


def test_recall_counts_the_truths_that_some_proposal_overlaps():
    truths = [torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), torch.zeros(0, 4), torch.tensor([[0.0, 0, 4, 4]])]
    proposals = [torch.tensor([[0.0, 0, 10, 6], [21, 20, 30, 30]]), torch.zeros(1, 4), torch.zeros(0, 4)]
    assert recall(proposals, truths, [0.5, 0.7, 0.95]) == pytest.approx([2 / 3, 1 / 3, 0])
    assert recall(truths, truths, [1.0]) == [1.0]
