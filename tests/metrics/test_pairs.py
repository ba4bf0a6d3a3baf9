"""What is measured between points: precision and recall, the nearest neighbour; against loops over all pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.metrics import pairwise
from lightloom.metrics.neighbours import nearest_neighbour_accuracy
from lightloom.metrics.pairwise import in_pieces, squared_distances
from lightloom.metrics.precision_recall import precision_recall


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[1, 100, 2**20], ids=lambda most: f"pieces of {most}")
def pieces(request, monkeypatch):
    monkeypatch.setattr(pairwise, "MOST_VALUES", request.param)


@pytest.mark.usefixtures("pieces")
def test_squared_distances_pair_by_pair():
    a, b = noise(0, 11, 5), torch.cat([noise(1, 20, 5), noise(0, 11, 5)])
    slow = torch.tensor(
        [[sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) for y in b.tolist()] for x in a.tolist()]
    )
    found = torch.cat(list(in_pieces(a, b)))
    torch.testing.assert_close(found, slow.double(), rtol=1e-6, atol=0)
    assert (found[:, 20:].diag() == 0).all()


def test_equal_points_have_distance_zero_far_from_the_origin():
    points = noise(0, 30, 50).double() + 1e3
    assert (squared_distances(points, points).diag() == 0).all()


def slow_share(points: Tensor, centres: Tensor, k: int) -> float:
    """Kynkäänniemi et al. 2019, equations 1 and 2."""

    def inside(x: Tensor) -> bool:
        for i, centre in enumerate(centres):
            others = [float((centre - c).norm()) for j, c in enumerate(centres) if j != i]
            if float((x - centre).norm()) <= sorted(others)[k - 1]:
                return True
        return False

    return sum(map(inside, points)) / len(points)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.usefixtures("pieces")
def test_precision_and_recall_against_their_equations(k):
    real, fake = noise(0, 40, 4), 0.7 * noise(1, 30, 4) + 0.4
    expected = slow_share(fake, real, k), slow_share(real, fake, k)
    assert precision_recall(real, fake, k) == expected
    assert 0 < min(expected) < max(expected) < 1


def test_precision_and_recall_of_the_same_and_of_distant_sets():
    real = noise(0, 50, 6)
    assert precision_recall(real, real.flip(0)) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)


def test_a_generator_of_half_the_classes_is_precise_and_recalls_half():
    real = torch.cat([noise(0, 30, 4), noise(1, 30, 4) + 50])
    assert precision_recall(real, real[:30]) == (1, 0.5)
    assert precision_recall(real[:30], real) == (0.5, 1)


def test_precision_and_recall_of_images_that_are_all_the_same():
    """A collapse onto one real image: precise, but no other real image is recalled."""
    real = noise(0, 25, 4)
    assert precision_recall(real, real[:1].expand(10, 4)) == (1, 1 / 25)


def test_too_few_for_neighbours():
    with pytest.raises(UserError, match="at least 4 real and 4 generated"):
        precision_recall(noise(0, 10, 2), noise(1, 3, 2))


@pytest.mark.usefixtures("pieces")
def test_nearest_neighbour_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    train, test = noise(0, 60, 3), noise(1, 35, 3)
    labels, truth = (torch.randint(3, (n,), generator=generator) for n in (60, 35))
    right = 0
    for x, label in zip(test, truth, strict=True):
        right += int(labels[min(range(60), key=lambda i: float((train[i] - x).norm()))] == label)
    assert nearest_neighbour_accuracy(train, labels, test, truth) == right / 35
    assert nearest_neighbour_accuracy(train, labels, train, labels) == 1
