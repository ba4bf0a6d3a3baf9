"""A scene is a function of its key, its boxes are its masks' extents, and no digit is in two splits."""

import torch
from torchvision.ops import masks_to_boxes

from lightloom.data.boxes.scenes import DigitScenes, Scenes, digits, draw_film


def scenes(split: str, count: int = 40, seed: int = 0) -> Scenes:
    found = DigitScenes(96, count, count, count, seed=seed).read(split)
    assert found is not None
    return found


def test_boxes_are_the_extents_of_masks():
    for image, target in scenes("train"):
        extents = masks_to_boxes(target["masks"]) + torch.tensor([0, 0, 1, 1])
        assert torch.equal(target["boxes"], extents)
        assert torch.equal(target["area"], target["masks"].flatten(1).sum(1).float())
        assert target["masks"].sum(0).max() == 1  # no pixel is of two digits
        assert image.shape == (3, 96, 96)


def test_a_scene_depends_on_seed_split_and_index_alone():
    forwards, alone, longer = scenes("train"), scenes("train")[7], scenes("train", 80)
    assert all(torch.equal(a, b) for a, b in zip(forwards[7][1].values(), alone[1].values(), strict=True))
    assert torch.equal(forwards[7][0], alone[0])
    assert torch.equal(longer[7][0], alone[0])
    others = [forwards[8][0], scenes("val")[7][0], scenes("train", seed=1)[7][0]]
    assert not any(torch.equal(alone[0], other) for other in others)


def test_splits_draw_from_different_digits():
    parts = [torch.from_numpy(digits(split)[0]).flatten(1) for split in ("train", "val", "test")]
    assert len(torch.cat(parts).unique(dim=0)) == sum(map(len, parts)) == 1797
    assert all(set(digits(split)[1].tolist()) == set(range(10)) for split in ("train", "val", "test"))


def test_each_number_of_digits_is_drawn():
    counts = [len(target["labels"]) for _, target in scenes("train", 100)]
    assert set(counts) == {1, 2, 3, 4, 5, 6}


def test_a_films_boxes_hold_the_ink_that_moves():
    film = draw_film(seed=3, frames=40, size=96, count=1, speed=3.0)
    steps = film.boxes[1:] - film.boxes[:-1]
    assert torch.allclose(steps[..., :2], steps[..., 2:], atol=1e-4)  # a digit keeps its size
    assert film.boxes.min() >= 0
    assert film.boxes.max() <= 96
    for frame, (box,) in zip(film.frames, film.boxes, strict=True):
        values = frame.float().amax(0)
        bright = masks_to_boxes((values > 0.5 * (values.max() + values.median()))[None])[0]
        assert (bright[:2] - box[:2]).min() >= -1.01
        assert (box[2:] - bright[2:] - 1).min() >= -1.01


def test_a_film_goes_on_as_it_began():
    short, long = (draw_film(seed=1, frames=n, size=96) for n in (5, 9))
    assert torch.equal(short.frames, long.frames[:5])
    assert torch.equal(short.boxes, long.boxes[:5])
