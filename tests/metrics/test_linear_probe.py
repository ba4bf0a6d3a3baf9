"""The linear probe in closed form against scikit-learn and against its own equations."""

import torch
from sklearn.linear_model import RidgeClassifier

from lightloom.metrics.linear_probe import fit, linear_probe_accuracy
from lightloom.ops.rng import latents

FEATURES, TEST = latents(0, 300, 6), latents(1, 200, 6)
TRUE = latents(2, 6, 4)


def test_it_is_scikit_learns_ridge_classifier():
    x, y, z, w = FEATURES * 3 + 1, (FEATURES @ TRUE).argmax(1), TEST * 3 + 1, (TEST @ TRUE).argmax(1)
    scaled = [(part - x.mean(0)) / x.std(0) for part in (x, z)]
    theirs = RidgeClassifier(alpha=2.0).fit(scaled[0].numpy(), y.numpy()).score(scaled[1].numpy(), w.numpy())
    assert abs(linear_probe_accuracy(x, y, z, w, ridge=2.0) - theirs) < 0.011  # theirs codes classes as -1 and 1


def test_the_gradient_is_zero_at_the_fit():
    labels = (FEATURES @ TRUE).argmax(1)
    weight, bias = (value.requires_grad_() for value in fit(FEATURES, labels, ridge=5.0))
    residual = FEATURES.double() @ weight + bias - torch.nn.functional.one_hot(labels)
    loss = residual.square().sum() + 5.0 * (weight * FEATURES.double().std(0)[:, None]).square().sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-8


def test_scales_and_shifts_of_features_change_nothing():
    labels, test_labels = (FEATURES @ TRUE).argmax(1), (TEST @ TRUE).argmax(1)
    moved = [part * torch.arange(1, 7) * 100 - 7 for part in (FEATURES, TEST)]
    assert linear_probe_accuracy(moved[0], labels, moved[1], test_labels) == linear_probe_accuracy(
        FEATURES, labels, TEST, test_labels
    )
