"""Measures of segmentation against a slow reference, with ignored pixels and classes that are absent."""

from __future__ import annotations

import pytest
import torch

from lightloom.metrics.segmentation import boundary_f1, iou_of_classes, of_confusion


def masks(seed: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(classes, (300,), generator=generator) for _ in range(2))  # type: ignore[return-value]


def matrix_of(truth: torch.Tensor, found: torch.Tensor, classes: int) -> torch.Tensor:
    return (truth * classes + found).bincount(minlength=classes**2).view(classes, classes)


@pytest.mark.parametrize("seed", range(3))
def test_they_are_scikit_learns(seed):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, jaccard_score

    truth, found = masks(seed, 5)
    measured = of_confusion(matrix_of(truth, found, 5))
    assert measured["miou"] == pytest.approx(jaccard_score(truth, found, average="macro"))
    assert measured["dice"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert measured["pixel_acc"] == pytest.approx(accuracy_score(truth, found))
    assert measured["mean_acc"] == pytest.approx(balanced_accuracy_score(truth, found))
    assert iou_of_classes(matrix_of(truth, found, 5)).tolist() == pytest.approx(
        jaccard_score(truth, found, average=None).tolist()
    )


def test_a_class_that_is_nowhere_is_left_out():
    """Three classes of which the images have two: the mean is over two, and the third one's is no number."""
    matrix = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert of_confusion(matrix)["miou"] == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert iou_of_classes(matrix)[2].isnan()


def test_a_class_that_is_only_found_counts_as_wrong():
    matrix = torch.tensor([[3, 1], [0, 0]])
    assert of_confusion(matrix)["miou"] == pytest.approx((3 / 4 + 0) / 2)
    assert of_confusion(matrix)["mean_acc"] == pytest.approx(3 / 4)


def test_they_are_of_all_pixels_and_no_mean_over_images():
    """Where one image has one pixel of a class and another a hundred, a mean over images is another figure."""
    small, large = torch.tensor([[9, 0], [1, 0]]), torch.tensor([[0, 0], [0, 100]])
    together = of_confusion(small + large)["miou"]
    assert together == pytest.approx((9 / 10 + 100 / 101) / 2)
    of_images = float(of_confusion(small)["miou"] + of_confusion(large)["miou"]) / 2
    assert abs(float(together) - of_images) > 0.1


def test_nothing_measured_is_zero():
    assert all(value == 0 for value in of_confusion(torch.zeros(3, 3)).values())


def test_boundaries_that_are_near_enough_are_right():
    truth = torch.zeros(100, 100).long()
    truth[:, 50:] = 1
    moved, far = torch.roll(truth, 1, 1), torch.zeros(100, 100).long()
    moved[:, 0], far[:, 80:] = 0, 1
    assert boundary_f1(truth, truth, 2) == (2.0, 2)
    assert boundary_f1(moved, truth, 2)[0] == pytest.approx(2.0)  # 1 pixel, and 1.06 are allowed
    assert boundary_f1(far, truth, 2)[0] == pytest.approx(0.0)


def test_what_is_ignored_has_no_boundary():
    truth = torch.zeros(40, 40).long()
    truth[:, 20:] = 255
    found = torch.zeros(40, 40).long()
    found[:, 30:] = 1
    assert boundary_f1(found, truth, 2) == (1.0, 1)
