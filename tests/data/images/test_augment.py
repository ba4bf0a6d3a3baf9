"""Each augmentation against a slow loop over samples, and the laws that make it safe to batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lightloom.core.errors import UserError
from lightloom.data.images.augment import (
    Augment,
    centre,
    cutmix,
    cutout,
    mixup,
    random_crop,
    random_flip,
    random_resized_crop,
)
from lightloom.data.sampling import KeyedBatches
from lightloom.ops.rng import mix_tensor

SHAPES = [(16, 1, 8, 8), (16, 3, 6, 9), (1, 3, 5, 4)]
DTYPES = [torch.uint8, torch.float32]
both = pytest.mark.parametrize("dtype", DTYPES, ids=str)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def keys_of(n: int, seed: int = 0) -> torch.Tensor:
    return mix_tensor(seed, torch.arange(n))


def batch(shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels from 1 to 255, so that a zero was put there."""
    images = torch.randint(1, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images.to(dtype), keys_of(shape[0])


def windows(image: torch.Tensor, padding: int, mode: str) -> list[torch.Tensor]:
    """All crops that an image can become."""
    h, w = image.shape[1:]
    padded = F.pad(image[None], (padding,) * 4, mode=mode)[0]
    offsets = range(2 * padding + 1)
    return [padded[:, y : y + h, x : x + w] for y in offsets for x in offsets]


@both
@shapes
@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_crop_is_one_window_of_the_padded_image(shape, dtype, mode):
    images, keys = batch(shape, dtype)
    for image, crop in zip(images, random_crop(images, keys, 2, mode), strict=True):
        assert sum(torch.equal(crop, window) for window in windows(image, 2, mode)) == 1


@both
@shapes
def test_flip_is_the_image_or_its_mirror(shape, dtype):
    images, keys = batch(shape, dtype)
    for image, flipped in zip(images, random_flip(images, keys), strict=True):
        assert torch.equal(flipped, image) != torch.equal(flipped, image.flip(-1))


def test_alternating_flip_shows_each_image_both_ways_in_two_epochs():
    images, _ = batch((40, 1, 5, 4))
    augment, order = Augment(flip=True, flip_order="alternating"), KeyedBatches(40, 8, seed=1, alternate=True)
    seen: list[dict[int, torch.Tensor]] = []
    for number in range(4):
        order.set_epoch(number)
        shown = [zip(i.tolist(), augment.geometry(images[i], keys), strict=True) for i, keys in order]
        seen.append(dict(pair for pairs in shown for pair in pairs))
    for i, image in enumerate(images):
        first, second, third, fourth = (epoch[i] for epoch in seen)
        assert torch.equal(first, image) != torch.equal(first, image.flip(-1))
        assert torch.equal(second, first.flip(-1))
        assert torch.equal(third, first)
        assert torch.equal(fourth, second)


@both
@shapes
@pytest.mark.parametrize("size", [1, 3, 4])
def test_cutout_blackens_one_clipped_square(shape, dtype, size):
    images, keys = batch(shape, dtype)
    h, w = shape[2:]
    for image, cut in zip(images, cutout(images, keys, size), strict=True):
        squares = set()
        for y in range(h):
            for x in range(w):
                rows, columns = (slice(max(c - size // 2, 0), c - size // 2 + size) for c in (y, x))
                expected = image.clone()
                expected[:, rows, columns] = 0
                squares.add(torch.equal(cut, expected))
        assert any(squares)  # the cut is one of the squares that the paper allows
        assert cut.dtype == dtype


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_memory_layout_does_not_matter(layout):
    images, keys = batch((4, 3, 6, 9))
    augment = Augment(crop_padding=2, flip=True, cutout=3)
    assert torch.equal(augment.geometry(images.to(memory_format=layout), keys), augment.geometry(images, keys))


def test_a_sample_does_not_depend_on_its_batch():
    images, keys = batch((32, 3, 9, 9))
    augment = Augment(crop_padding=2, flip=True, cutout=3, crop_area=[0.3, 1.0])
    whole = augment.geometry(images, keys)
    order = torch.arange(31, -1, -1)
    alone = torch.cat([augment.geometry(images[i : i + 1], keys[i : i + 1]) for i in range(32)])
    assert torch.equal(alone, whole)
    assert torch.equal(augment.geometry(images[order], keys[order]), whole[order])


def test_the_same_image_differs_by_key_and_the_input_is_left_alone():
    images = batch((1, 1, 8, 8))[0].expand(200, -1, -1, -1)
    before = images.clone()
    out = Augment(crop_padding=2, flip=True).geometry(images, keys_of(200))
    assert len(out.flatten(1).unique(dim=0)) > 45  # 50 outcomes; each is missing with probability 0.98 ** 200
    assert torch.equal(images, before)


def test_offsets_and_flips_are_uniform_and_independent():
    n, padding = 49 * 400, 3
    position = torch.zeros(1, 1, 7, 7)
    position[..., 3, 2] = 1  # off the middle column, so that a flip shows
    cropped = random_crop(position.expand(n, -1, -1, -1), keys_of(n), padding).flatten(1)
    offsets = cropped.argmax(1)[cropped.any(1)].bincount(minlength=49)[cropped.any(0)]
    flips = random_flip(position.expand(n, -1, -1, -1), keys_of(n))[..., 3, 4].flatten().bool()
    joint = torch.stack([cropped[flips].sum(0), cropped[~flips].sum(0)])[:, cropped.any(0)]
    assert offsets.numel() == 42  # the dot leaves the image at 7 of 49 offsets
    for counts, expected in ((offsets, n / 49), (joint, n / 98)):
        chi2 = ((counts - expected) ** 2 / expected).sum().item()
        degrees = counts.numel() - 1
        assert abs(chi2 - degrees) < 5 * (2 * degrees) ** 0.5


def test_off_is_the_identity():
    images, keys = batch((4, 3, 6, 9), torch.float32)
    labels = torch.arange(4)
    assert torch.equal(random_crop(images, keys, 0), images)
    assert torch.equal(cutout(images, keys, 0), images)
    assert Augment().geometry(images, keys) is images
    assert Augment().mix(images, labels, keys, 4) == (images, labels)


@pytest.mark.parametrize("area", [(0.35, 1.0), (0.08, 0.1), (0.5, 0.5)])
def test_a_random_resized_crop_is_a_part_of_the_asked_area_and_shape(area):
    """Of a slope in x and one in y a part is a slope too: its steps say how wide and high, its ends where it was."""
    n, size = 500, 16
    ramp = (torch.arange(64) + 0.5) / 64
    images = torch.stack([ramp.expand(64, 64), ramp.expand(64, 64).mT])[None].expand(n, -1, -1, -1)
    cut = random_resized_crop(images, keys_of(n), size, area)[..., 4:-4, 4:-4]  # away from the borders
    width, height = ((part.diff(dim=d) * size).mean((1, 2)) for part, d in ((cut[:, 0], 2), (cut[:, 1], 1)))
    whole = (width > 0.98) | (height > 0.98)  # wider or higher than the image, and so cut off there
    shares, ratios = (width * height)[~whole], (width / height)[~whole]
    assert area[0] - 0.01 < shares.min()
    assert shares.max() < area[1] + 0.01
    assert ratios.min() > 3 / 4 - 0.01
    assert ratios.max() < 4 / 3 + 0.01
    for side, centres in ((width, cut[:, 0].mean((1, 2))), (height, cut[:, 1].mean((1, 2)))):
        assert (centres - side / 2).min() > -0.01
        assert (centres + side / 2).max() < 1.01


def test_the_centre_is_the_middle():
    images, _ = batch((4, 3, 9, 9))
    assert torch.equal(centre(images, 5), images[:, :, 2:7, 2:7])


@pytest.mark.parametrize("area", [[0.5], [0.8, 0.2], [0.0, 1.0], [0.5, 1.5]])
def test_no_area_is_any_of_these(area):
    with pytest.raises(UserError, match="crop_area"):
        Augment(crop_area=area)


@pytest.mark.parametrize("function", [mixup, cutmix])
def test_soft_labels_say_what_is_in_the_image(function):
    """Every image is its own class as a constant colour: the mean colour must be the labels' mean class."""
    labels = torch.arange(5)
    images = labels.view(-1, 1, 1, 1).float().expand(-1, 3, 11, 7)
    for seed in range(200):
        mixed, soft = function(images, labels, keys_of(5, seed), 6, alpha=1.0)
        torch.testing.assert_close(soft.sum(1), torch.ones(5))
        torch.testing.assert_close(soft @ torch.arange(6.0), mixed.mean((1, 2, 3)))
        assert (soft >= 0).all()
        assert torch.equal(images[:, 0, 0, 0], labels.float())


def test_cutmix_pastes_one_box():
    labels = torch.tensor([0, 1])
    images = labels.view(-1, 1, 1, 1).expand(-1, 1, 11, 7).to(torch.uint8)
    for seed in range(100):
        mixed, soft = cutmix(images, labels, keys_of(2, seed), 2, alpha=1.0)
        pasted = mixed[0, 0].bool()
        box = pasted.any(1)[:, None] & pasted.any(0)[None, :]
        assert torch.equal(pasted, box)
        assert soft[0, 1].item() == pytest.approx(pasted.float().mean().item())


def test_mixup_weights_follow_beta():
    alpha, n = 0.4, 2000
    images, labels = torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])
    lam = torch.stack([mixup(images, labels, keys_of(2, seed), 2, alpha)[1][0, 0] for seed in range(n)])
    variance = 1 / (4 * (2 * alpha + 1))  # of Beta(alpha, alpha)
    assert lam.mean().item() == pytest.approx(0.5, abs=5 * (variance / n) ** 0.5)
    assert lam.var().item() == pytest.approx(variance, rel=0.1)


def test_mixup_and_cutmix_take_turns():
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    augment, n, mixups = Augment(mixup=1.0, cutmix=1.0), 400, 0
    for seed in range(n):
        keys = keys_of(4, seed)
        chosen = augment.mix(images, labels, keys, 4)[0]
        outcomes = [function(images, labels, keys, 4, 1.0)[0] for function in (mixup, cutmix)]
        assert any(torch.equal(chosen, outcome) for outcome in outcomes)
        mixups += torch.equal(chosen, outcomes[0])
    assert abs(mixups - n / 2) < 5 * (n / 4) ** 0.5


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match=r"^cutout is -1; expected at least 0"):
        Augment(cutout=-1)
    with pytest.raises(UserError, match=r"^flip_order is alternate; expected random, alternating"):
        Augment(flip=True, flip_order="alternate")
