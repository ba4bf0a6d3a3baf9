"""Losses for classes that are not alike, against torch's own and closed forms."""

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from lightloom.core.errors import UserError
from lightloom.losses.classification import CrossEntropy, balanced_weights, focal_cross_entropy

GIVEN = torch.Generator().manual_seed(0)
LOGITS, LABELS = torch.randn(20, 4, generator=GIVEN), torch.arange(20) % 4
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("soft", [False, True])
def test_without_focus_it_is_torchs(smoothing, weights, soft):
    labels = torch.rand(20, 4, generator=GIVEN).softmax(1) if soft else LABELS
    expected = cross_entropy(LOGITS, labels, weights, label_smoothing=smoothing, reduction="none")
    found = focal_cross_entropy(LOGITS, labels, 0.0, weights, smoothing)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(CrossEntropy(smoothing, 0.0, weights)(LOGITS, labels), expected.mean())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focus_scales_each_sample_by_how_wrong_it_is(gamma):
    p = LOGITS.softmax(1)[torch.arange(20), LABELS]
    torch.testing.assert_close(focal_cross_entropy(LOGITS, LABELS, gamma), -((1 - p) ** gamma) * p.log())


def test_focus_has_a_gradient_where_all_is_certain():
    logits = (40 * one_hot(LABELS, 4).float()).requires_grad_()
    focal_cross_entropy(logits, LABELS, 2.0).sum().backward()
    assert logits.grad.isfinite().all()


def test_balanced_weights_give_each_class_the_same_share():
    counts = torch.tensor([90, 9, 1])
    shares = counts * balanced_weights(counts)
    torch.testing.assert_close(shares, torch.full((3,), 100 / 3))
    with pytest.raises(UserError, match="no training sample has class 1"):
        balanced_weights(torch.tensor([3, 0, 2]))
