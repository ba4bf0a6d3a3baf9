"""Captchas follow from their seed and no split knows another's; pictures are fitted, and changed as keys say."""

from __future__ import annotations

import inspect

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.text_images.augment import TextAugment, blurred
from lightloom.data.text_images.captchas import Captchas, part_of_pair
from lightloom.data.text_images.fitting import PAPER, fitted, fitted_size

ALPHABET = "0123456789"
EVERY = {"rotate": 5.0, "scale": 0.1, "shift": 2.0, "shear": 8.0, "blur": 0.5, "jpeg": 0.5}


def captchas(**options) -> Captchas:
    small = {"train_size": 30, "val_size": 6, "test_size": 6}
    return Captchas(ALPHABET, **{"min_length": 2, "max_length": 3, "height": 20, "width": 48, **small, **options})


def test_a_picture_is_a_function_of_seed_split_and_number():
    """Whatever else there is in the split, and whichever was drawn before."""
    one, more = captchas(seed=3).read("train"), captchas(seed=3, train_size=40).read("train")
    for number in (29, 0, 7):
        assert torch.equal(one[number], more[number])
        assert one.texts[number] == more.texts[number]
    picked = one.pick(torch.tensor([5, 2]))
    assert torch.equal(picked[1], one[2])
    assert picked.texts == [one.texts[5], one.texts[2]]
    for other in (captchas(seed=4).read("train"), captchas(seed=3).read("val")):
        assert not torch.equal(one[0], other[0])


def test_no_split_shares_a_font_and_text_with_another():
    """Of any seeds, though a tenth of all pairs is in each: 4 fonts and 100 texts."""
    options = {"max_length": 2, "families": ["computer_modern"], "train_size": 400, "val_size": 100, "test_size": 100}
    pairs = {name: set() for name in ("train", "val", "test")}
    for seed in (0, 1):
        for name, known in pairs.items():
            known |= set(captchas(seed=seed, **options).read(name).pairs)
    assert len(pairs["train"]) > 150
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not pairs[one] & pairs[other]


def test_pairs_are_divided_evenly():
    parts = torch.tensor([part_of_pair("DejaVuSans", str(n)) for n in range(4000)]).bincount(minlength=10)
    assert (parts - 400).abs().max() < 80


def test_an_alphabet_without_texts_for_three_splits_is_refused():
    alone = Captchas("7", 1, 1, 20, 48, 1, 1, 1, families=["stix"])
    with pytest.raises(UserError, match="makes too few texts"):
        [alone.read(name) for name in ("train", "val", "test")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_length": 5}, "more than data.max_length, 3"),
        ({"families": ["comic"]}, r"families\[0\] is comic"),
        ({"noise": 2.0}, "noise is 2.0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        captchas(**options)


def test_lines_noise_and_waves_change_what_they_say():
    """Without any of them what is not ground is letters, all of one grey or between; light on dark is the negative."""
    plain = captchas(noise=0.0, lines=0, warp=0.0).read("train")[0]
    for option in ({"noise": 0.1}, {"lines": 2}, {"warp": 3.0}):
        assert not torch.equal(captchas(**{"noise": 0.0, "lines": 0, "warp": 0.0, **option}).read("train")[0], plain)
    inverted = captchas(noise=0.0, lines=0, warp=0.0, inverted=True).read("train")[0]
    assert ((255 - inverted.int()) - plain.int()).abs().max() <= 1
    assert plain.unique().max() == plain[0, 0].max()


def test_letters_find_room_whatever_their_number():
    """No letter is cut off at the right: the last column has ground where nothing crosses it."""
    for length in (1, 3, 8):
        split = captchas(min_length=length, max_length=length, noise=0.0, lines=0, warp=0.0).read("train")
        for i in range(20):
            page = split[i]
            assert (page[:, :, -1] == page.max()).all()


@pytest.mark.parametrize(("size", "wanted"), [((20, 50), (32, 80)), ((60, 160), (32, 85)), ((10, 200), (6, 112))])
def test_a_picture_keeps_its_ratio_and_is_filled_up_with_paper(size, wanted):
    assert fitted_size(*size, 32, 112) == wanted
    page = fitted(torch.zeros(1, *size, dtype=torch.uint8), 32, 112)
    assert page.shape == (1, 32, 112)
    assert not page[:, : wanted[0], : wanted[1]].any()
    assert (page[:, wanted[0] :] == PAPER).all()
    assert (page[:, :, wanted[1] :] == PAPER).all()


def test_a_picture_of_the_size_keeps_its_pixels_and_every_size_fits():
    image = torch.randint(256, (3, 32, 112), dtype=torch.uint8)
    assert torch.equal(fitted(image, 32, 112), image)
    for number in range(200):
        height, width = fitted_size(1 + number * 7 % 97, 1 + number * 13 % 211, 32, 112)
        assert 1 <= height <= 32
        assert 1 <= width <= 112
        assert height == 32 or width == 112


def test_a_change_follows_from_the_key_alone():
    """In any batch, at any place in it."""
    images = torch.stack([captchas().read("train")[i] for i in range(8)])
    keys = torch.arange(8) * 7919
    augment = TextAugment(**EVERY)
    together = augment(images, keys)
    order = torch.tensor([3, 0, 5])
    assert torch.equal(augment(images[order], keys[order]), together[order])
    assert not torch.equal(augment(images, keys + 1), together)


@pytest.mark.parametrize("option", EVERY)
def test_each_change_is_small_and_is_left_out_at_zero(option):
    split = captchas(noise=0.0).read("train")
    images = torch.stack([split[i] for i in range(16)])
    keys = torch.arange(16)
    changed = TextAugment(**{option: EVERY[option]})(images, keys)
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, images)
    assert (changed.float() - images.float()).abs().mean() < 40
    assert torch.equal(TextAugment()(images, keys), images)


def test_a_whole_shift_moves_pixels_as_they_are():
    """Of (0.5, 0.5) of the range nothing moves; a key that gives other shares moves each pixel by them."""
    augment, image = TextAugment(shift=8.0), torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    image[0, 0, 8, 8] = 200
    v = torch.tensor([[0.0, 0.0, 0.0, -0.25, 0.5]])  # 2 pixels to the right, 4 up
    moved = augment._moved(image, v)
    assert moved[0, 0].nonzero().tolist() == [[4, 10]]


def test_text_is_never_mirrored():
    """There is no option that would: its letters would be others."""
    names = set(inspect.signature(TextAugment.__init__).parameters)
    assert not any("flip" in name or "mirror" in name for name in names)


def test_a_blur_keeps_the_sum_of_what_is_inside():
    image = torch.zeros(1, 1, 7, 7, dtype=torch.uint8)
    image[0, 0, 3, 3] = 225
    found = blurred(image, torch.tensor([1 / 3]))
    assert (found[0, 0, 2:5, 2:5] == 25).all()
    assert found.sum() == 225
