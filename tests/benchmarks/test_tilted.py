"""What is possible for so many nats, by sequential Monte Carlo, is what a sum over all answers gives."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from ppo import tilted

WORTH = torch.tensor([0.0, 1.0, -0.5])


def bigrams(ids: torch.Tensor) -> torch.Tensor:
    """A language of three letters in which what follows hangs on the letter before."""
    table = torch.tensor([[0.2, -1.0, 0.5], [1.0, -2.0, 0.0], [0.3, 0.9, -0.4]])
    return table[ids]


@pytest.mark.parametrize("tilt", [0.0, 0.7, 2.0])
def test_it_is_the_sum_over_all_answers(tilt):
    every = torch.tensor([*itertools.product(range(3), repeat=4)])
    whole = torch.cat([torch.zeros(81, 1, dtype=torch.long), every], 1)
    ln_p = bigrams(whole[:, :-1]).log_softmax(2).gather(2, every[..., None]).sum((1, 2))
    best = (ln_p + tilt * WORTH[every].sum(1)).softmax(0)
    expected = (best * WORTH[every].sum(1)).sum(), (best * (best.log() - ln_p)).sum()
    found = tilted(bigrams, torch.zeros(64, 1, dtype=torch.long), 4, WORTH, tilt)  # 64 times the same prompt
    assert torch.allclose(
        torch.tensor(found), torch.stack(expected), atol=0.05
    )  # of 4,096 answers: three standard errors
