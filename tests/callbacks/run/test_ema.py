"""The average is the closed form of its updates, and soon knows nothing of the first weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from lightloom.callbacks.run.ema import WeightAverage


def average_of(values: list[float], **options: object) -> float:
    """Of a weight that has these values after each step, 1 at first."""
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.ones_(model.weight)
    callback = WeightAverage(**options)  # type: ignore[arg-type]
    averaged = AveragedModel(model, avg_fn=callback.averaged, use_buffers=True)
    averaged.n_averaged += 1  # the first weights are the average of one
    for value in values:
        torch.nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
    return float(averaged.module.weight.detach())


def test_without_warm_up_the_first_weights_decay_geometrically():
    assert average_of([0.0] * 800, warm_up=False) == pytest.approx(0.999**800)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_with_warm_up_they_decay_as_the_number_of_updates_says(decay):
    kept = [min(decay, (1 + n) / (10 + n)) for n in range(1, 801)]
    assert average_of([0.0] * 800, decay=decay) == pytest.approx(math.prod(kept), abs=1e-15)
    assert average_of([0.0] * 800, decay=decay) < 1e-10


def test_weights_that_stay_are_their_average():
    assert average_of([1.0] * 50) == pytest.approx(1.0)


def test_whole_numbers_are_the_current_ones():
    count, n = torch.tensor(3), torch.tensor(7)
    assert WeightAverage().averaged(torch.tensor(1), count, n) == count
