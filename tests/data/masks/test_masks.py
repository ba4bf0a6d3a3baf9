"""Masks move with their images, objects are painted in their order, and rivers are drawn by their seed alone."""

from __future__ import annotations

import pytest
import torch

from lightloom.data.joined import Joined
from lightloom.data.masks.augment import MaskAugment, largest_share, resized
from lightloom.data.masks.of_boxes import painted
from lightloom.data.masks.river_scenes import RiverScenes, film
from lightloom.ops.rng import seed_everything


def marked(height: int = 40, width: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """An image whose red says the class of each pixel."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.randint(3, (height // 10, width // 10), generator=generator).repeat_interleave(10, 0)
    mask = mask.repeat_interleave(10, 1).byte()
    return torch.stack([mask * 100, mask * 0, mask * 0]), mask


@pytest.mark.parametrize(
    "options",
    [{}, {"flip": 1.0}, {"flip": 0.5}, {"scale": [2.0, 2.0]}, {"max_share": 0.5}],
    ids=["crop", "flip", "perhaps", "scale", "share"],
)
def test_a_mask_moves_with_its_image(options):
    image, mask = marked()
    for key in range(20):
        seed_everything(key)
        changed, moved = MaskAugment(32, 32, **options)(image, mask)
        assert changed.shape[1:] == moved.shape == (32, 32)
        inside = torch.ones(32, 32, dtype=torch.bool)
        if "scale" in options:  # between classes the image is mixed
            inside = torch.isin(changed[0], torch.tensor([0, 100, 200], dtype=torch.uint8))
            assert inside.float().mean() > 0.7
        assert torch.equal(changed[0][inside], (moved * 100)[inside])


def test_what_lies_beyond_the_image_is_ignored():
    image, mask = marked(20, 30)
    _, moved = MaskAugment(32, 32)(image, mask)
    assert (moved[:20, :30] == mask).all()
    assert (moved[20:] == 255).all()
    assert (moved[:, 30:] == 255).all()


@pytest.mark.parametrize("options", [{"rotate": 30.0}, {"elastic": 4.0}], ids=["turned", "bent"])
def test_turned_and_bent_masks_hold_classes_and_follow_the_image(options):
    """Away from borders of classes, where the image is mixed, its red still says the class."""
    image, mask = marked()
    seed_everything(3)
    changed, moved = MaskAugment(32, 32, **options)(image, mask)
    assert set(moved.unique().tolist()) <= {0, 1, 2, 255}
    pure = torch.isin(changed[0], torch.tensor([0, 100, 200], dtype=torch.uint8)) & (moved != 255)
    assert pure.float().mean() > 0.3
    assert (changed[0][pure] == 100 * moved[pure]).float().mean() > 0.98


def test_a_crop_has_another_class_where_one_can_be_had():
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[40:, 40:] = 1
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    shares = []
    for key in range(50):
        seed_everything(key)
        shares.append(largest_share(MaskAugment(16, 16, max_share=0.75)(image, mask)[1]))
    assert sum(share <= 0.75 for share in shares) > 30


def test_masks_are_resized_to_classes_and_images_smoothly():
    image, mask = marked()
    smaller, reduced = resized(image, mask, (20, 25))
    assert smaller.shape == (3, 20, 25)
    assert set(reduced.unique().tolist()) <= {0, 1, 2}


def test_the_last_object_lies_on_top_and_crowds_are_ignored():
    masks = torch.zeros(3, 2, 4, dtype=torch.uint8)
    masks[0, :, :3] = masks[1, :, 2:] = masks[2, 1, :1] = 1
    found = painted(masks, torch.tensor([5, 7, 1]), torch.tensor([0, 0, 1]), (2, 4))
    assert found.tolist() == [[5, 5, 7, 7], [255, 5, 7, 7]]


def test_a_river_is_a_function_of_seed_split_and_number():
    first, again = (RiverScenes(24, 32, 5, 2, 2, seed=3).read("train") for _ in range(2))
    assert torch.equal(first[4][0], again[4][0])
    assert torch.equal(first.pick(torch.tensor([4]))[0][0], first[4][0])
    others = [RiverScenes(24, 32, 5, 2, 2, seed=4).read("train"), RiverScenes(24, 32, 5, 2, 2, seed=3).read("val")]
    assert all(not torch.equal(first[0][0], other[0][0]) for other in others)
    assert all(set(first[i][1].unique().tolist()) == {0, 1, 2} for i in range(5))


def test_joined_splits_are_one_after_another():
    parts = [RiverScenes(24, 32, 3, 2, 2, seed=seed).read("train") for seed in (1, 2)]
    both = Joined(parts)
    assert len(both) == 6
    assert torch.equal(both[4][0], parts[1][1][0])
    chosen = both.pick(torch.tensor([2, 5]))
    assert [torch.equal(chosen[i][0], both[n][0]) for i, n in enumerate((2, 5))] == [True, True]


def test_a_rising_river_covers_more_and_its_sky_stays():
    frames = film(1, 5, 48, 64)
    water = [int((mask == 2).sum()) for _, mask in frames]
    assert water == sorted(water)
    assert water[-1] > 1.2 * water[0]
    assert all(torch.equal(frames[0][1] == 0, (mask == 0)) for _, mask in frames)
