"""Rates are searched until the best lies inside the grid, and batches see each image once an epoch."""

import importlib
import math

import pytest
import torch
from conftest import ROOT


@pytest.fixture
def optimization(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("optimization")


@pytest.mark.parametrize("best", [1e-4, 0.02, 3.0])
def test_the_grid_grows_until_its_best_rate_has_a_neighbour_on_either_side(optimization, best):
    rate, tried = optimization.best_rate(lambda lr: math.log(lr / best) ** 2, first=0.01, factor=2)
    assert abs(math.log2(rate / best)) <= 0.5
    assert min(tried) < rate < max(tried)


def test_a_rate_that_diverges_ends_the_grid(optimization):
    rate, tried = optimization.best_rate(lambda lr: 1 / lr if lr < 1 else math.inf, first=0.01, factor=2)
    assert 0.5 <= rate < 1 <= max(tried)


def test_each_epoch_is_all_images_once_in_another_order(optimization):
    orders = list(optimization.small_runs.batches(12, 4, steps=6, seed=0))
    first, second = torch.cat(orders[:3]), torch.cat(orders[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(12))
    assert not torch.equal(first, second)


def test_a_last_batch_that_is_not_whole_is_left_out(optimization):
    assert [len(index) for index in optimization.small_runs.batches(10, 4, steps=5, seed=0)] == [4] * 5
