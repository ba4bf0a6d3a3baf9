"""Regions are drawn by an image's key alone, as many as asked for, each with the same chance."""

import pytest
import torch
from torch import nn

from lightloom.networks.detection.regions import KeyedBoxSampler, KeyedSampler

MATCHED = torch.tensor([0, 1, -1, 2, 0, 3, 0, 0, 1, 0, 0, -1])


def drawn(keys: list[int], matched: list[torch.Tensor], most: int = 4, share: float = 0.5, sampler=None):
    sampler = sampler or KeyedSampler(most, share)
    sampler.before(nn.Identity(), (None, [{"key": torch.tensor(key)} for key in keys]))
    return sampler(matched)


def test_at_most_the_share_holds_objects_and_the_rest_is_background():
    (positive,), (negative,) = drawn([3], [MATCHED])
    assert (positive.sum(), negative.sum()) == (2, 2)
    assert (MATCHED[positive.bool()] >= 1).all()
    assert (MATCHED[negative.bool()] == 0).all()
    (positive,), (negative,) = drawn([3], [torch.tensor([1, 0, 0, 0, 0, 0])])
    assert (positive.sum(), negative.sum()) == (1, 3)  # what objects leave, background takes
    (positive,), (negative,) = drawn([3], [torch.tensor([-1, 1, 1, 1])])
    assert (positive.sum(), negative.sum()) == (2, 0)


def test_an_images_draw_hangs_on_its_key_and_not_on_its_company():
    alone, beside = drawn([5], [MATCHED]), drawn([9, 5], [MATCHED[:7], MATCHED])
    torch.rand(())
    again = drawn([5], [MATCHED])
    for one, with_another, once_more in zip(alone, beside, again, strict=True):
        assert torch.equal(one[0], with_another[1])
        assert torch.equal(one[0], once_more[0])
    assert len({tuple(drawn([key], [MATCHED])[1][0].tolist()) for key in range(20)}) > 5


def test_without_keys_the_steps_chance_decides():
    sampler = KeyedSampler(4, 0.5)
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        sampler.before(nn.Identity(), (None, [{}]))
        found.append(sampler([MATCHED])[1][0])
    assert torch.equal(*found)
    others = set()
    for _ in range(20):
        sampler.before(nn.Identity(), (None, [{}]))
        others.add(tuple(sampler([MATCHED])[1][0].tolist()))
    assert len(others) > 5


def test_each_region_is_drawn_as_often():
    counts = sum(drawn([key], [MATCHED])[1][0].int() for key in range(2000))
    assert counts[MATCHED == 0].float() / 2000 == pytest.approx([2 / 6] * 6, abs=0.04)  # 3.8 standard errors


def test_a_proposal_is_drawn_wherever_it_stands_in_the_order():
    boxes, order = 50 * torch.rand(12, 4, generator=torch.Generator().manual_seed(0)), torch.randperm(12)
    truth = {"boxes": torch.zeros(0, 4), "key": torch.tensor(7)}
    found = []
    for places in (torch.arange(12), order):
        sampler = KeyedBoxSampler(4, 0.5)
        sampler.before(nn.Identity(), (None, [boxes[places]], None, [truth]))
        positive, negative = sampler([MATCHED[places]])
        found.append(boxes[places][(positive[0] | negative[0]).bool()].sort(0).values)
    assert torch.equal(*found)
