"""When the best checkpoint is replaced."""

from __future__ import annotations

import math

import pytest

from lightloom.callbacks.run.checkpoints import RunCheckpoint


@pytest.mark.parametrize(
    ("mode", "scores", "improvements"),
    [
        ("max", [0.5, 0.5, 0.4, 0.6], [0, 3]),
        ("min", [0.5, 0.5, 0.6, 0.4], [0, 3]),
        ("max", [math.nan, 0.1, math.nan, math.inf, 0.2], [1, 4]),
        ("min", [-math.inf, 0.3, math.nan, 0.2], [1, 3]),
    ],
)
def test_better_means_strictly_better_and_finite(tmp_path, mode, scores, improvements):
    keeper = RunCheckpoint(str(tmp_path), "val/x", mode)
    found = []
    for i, score in enumerate(scores):
        if keeper._is_better(score):
            keeper.best_score = score
            found.append(i)
    assert found == improvements


def test_best_score_is_continued(tmp_path):
    keeper, resumed = (RunCheckpoint(str(tmp_path), "val/x", "max") for _ in range(2))
    keeper.best_score = 0.7
    resumed.load_state_dict(keeper.state_dict())
    assert not resumed._is_better(0.6)
    assert resumed._is_better(0.8)
