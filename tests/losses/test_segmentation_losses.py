"""Losses of segmentation against closed forms and slow references; ignored pixels, and two processes as one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.functional import cross_entropy, one_hot

from lightloom.core.errors import UserError
from lightloom.losses.segmentation import IGNORE, SegmentationLoss

TERMS = {
    "cross_entropy": {},
    "weighted": {"class_weights": [0.5, 1.0, 4.0]},
    "smoothed": {"label_smoothing": 0.1},
    "dice": {"cross_entropy": 0.0, "dice": 1.0},
    "focal": {"cross_entropy": 0.0, "focal": 1.0},
    "lovasz": {"cross_entropy": 0.0, "lovasz": 1.0},
    "all": {"dice": 0.5, "focal": 0.3, "lovasz": 0.2},
}
CLASSES = 3


def loss(term: str) -> SegmentationLoss:
    return SegmentationLoss(CLASSES, **TERMS[term])


def batch(ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    """Logits (4, 3, 6, 5), and masks of which this share is ignored; an image has more of these than another."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, CLASSES, 6, 5, generator=generator)
    masks = torch.randint(CLASSES, (4, 6, 5), generator=generator)
    shares = torch.linspace(0, 2 * ignored, 4).view(4, 1, 1)
    return logits, torch.where(torch.rand(4, 6, 5, generator=generator) < shares, IGNORE, masks)


# --- closed forms


def test_cross_entropy_is_torchs():
    logits, masks = batch()
    weights = torch.tensor([0.5, 1.0, 4.0])
    plain = cross_entropy(logits, masks, ignore_index=IGNORE)
    assert loss("cross_entropy")(logits, masks) == pytest.approx(float(plain))
    expected = cross_entropy(logits, masks, weights, ignore_index=IGNORE)
    assert loss("weighted")(logits, masks) == pytest.approx(float(expected))
    smooth = cross_entropy(logits, masks, ignore_index=IGNORE, label_smoothing=0.1)
    assert loss("smoothed")(logits, masks) == pytest.approx(float(smooth))


def test_focal_without_gamma_is_cross_entropy():
    logits, masks = batch()
    focal = SegmentationLoss(CLASSES, cross_entropy=0.0, focal=1.0, gamma=0.0)
    assert focal(logits, masks) == pytest.approx(float(loss("cross_entropy")(logits, masks)))


def test_focal_of_one_pixel():
    """p = 1/2 of two classes: (1/2)^2 log 2."""
    focal = SegmentationLoss(2, cross_entropy=0.0, focal=1.0)
    assert focal(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1).long()) == pytest.approx(math.log(2) / 4)


def test_dice_is_its_definition():
    logits, masks = batch()
    p, known = logits.softmax(1), masks != IGNORE
    ratios = []
    for k in range(CLASSES):
        found, truth = p[:, k][known], (masks == k)[known].float()
        ratios.append(2 * (found * truth).sum() / (found.sum() + truth.sum()))
    assert loss("dice")(logits, masks) == pytest.approx(1 - float(torch.stack(ratios).mean()))


def test_a_class_that_the_batch_lacks_costs_no_dice():
    masks = torch.zeros(2, 4, 4).long()
    sure = torch.tensor([20.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    assert loss("dice")(sure, masks) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_lovasz_of_certain_answers_is_the_jaccard_loss(seed):
    """At the corners of the cube the extension is what it extends (Berman et al. 2018, definition 1)."""
    generator = torch.Generator().manual_seed(seed)
    truth, found = (torch.randint(CLASSES, (1, 5, 5), generator=generator) for _ in range(2))
    logits = 80.0 * one_hot(found, CLASSES).permute(0, 3, 1, 2).float()
    jaccard = [1 - ((truth == k) & (found == k)).sum() / ((truth == k) | (found == k)).sum() for k in truth.unique()]
    assert loss("lovasz")(logits, truth) == pytest.approx(float(torch.stack(jaccard).mean()), abs=1e-6)


def test_median_frequency():
    """Eigen & Fergus 2015: the median share over the own one; a class that is nowhere weighs 1."""
    own = SegmentationLoss(4, median_frequency=True)
    own.weigh(torch.tensor([0.5, 0.25, 0.125, 0.0]))
    assert own.weights.tolist() == [0.5, 1.0, 2.0, 1.0]


# --- ignored pixels


@pytest.mark.parametrize("term", TERMS)
def test_what_is_ignored_changes_nothing(term):
    logits, masks = batch()
    changed = torch.where((masks == IGNORE)[:, None], torch.randn_like(logits) * 9, logits).requires_grad_()
    value = loss(term)(changed, masks)
    assert value.item() == pytest.approx(loss(term)(logits, masks).item(), rel=1e-5)
    value.backward()
    assert changed.grad is not None
    assert not changed.grad.movedim(1, -1)[masks == IGNORE].any()
    assert changed.grad.movedim(1, -1)[masks != IGNORE].any()


@pytest.mark.parametrize("term", TERMS)
def test_where_all_is_ignored_there_is_nothing_to_learn(term):
    logits = torch.randn(2, CLASSES, 4, 4, requires_grad=True)
    value = loss(term)(logits, torch.full((2, 4, 4), IGNORE))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6) or term in ("lovasz", "all")
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("term", TERMS)
def test_in_half_precision_it_is_finite(term):
    logits, masks = batch()
    assert torch.isfinite(loss(term)((60000 * logits.sign()).half(), masks))


# --- options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cross_entropy": 0.0}, "all of cross_entropy, dice, focal, lovasz are 0"),
        ({"class_weights": [1.0]}, "has 1 numbers for 3 classes"),
        ({"class_weights": [1.0] * 3, "median_frequency": True}, "beside median_frequency=true"),
        ({"dice": -1.0}, "dice is -1.0; expected at least 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        SegmentationLoss(CLASSES, **options)


# --- two processes


def gradients(own: slice) -> dict[str, Tensor]:
    """Of each loss with respect to a scale of all logits, over these images."""
    logits, masks = batch()
    found = {}
    for term in TERMS:
        scale = torch.ones(CLASSES, requires_grad=True)
        loss(term)(logits[own] * scale.view(-1, 1, 1), masks[own]).backward()
        assert scale.grad is not None
        found[term] = scale.grad
    return found


def averaged_by(rank: int, address: str, expected: dict[str, Tensor]) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    try:
        for term, gradient in gradients(slice(2 * rank, 2 * rank + 2)).items():
            dist.all_reduce(gradient)  # as DDP, which then divides
            torch.testing.assert_close(gradient / 2, expected[term], rtol=1e-5, atol=1e-6)
    finally:
        dist.destroy_process_group()


def second(index: int, *given) -> None:
    averaged_by(1, *given)


def test_two_processes_learn_what_one_does(tmp_path):
    """Their images have unequal shares of ignored pixels. Starts a second process, which takes some seconds."""
    given = (f"file://{tmp_path}/meet", gradients(slice(0, 4)))
    other = torch.multiprocessing.spawn(second, given, nprocs=1, join=False)
    averaged_by(0, *given)
    other.join()
