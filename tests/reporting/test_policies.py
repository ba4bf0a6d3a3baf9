"""The chapter of policies: each reward against the divergence of the same step."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightloom.reporting.chapters.policies import Policies
from lightloom.reporting.facts import Curve, Run
from lightloom.reporting.pictures import Album


def curve(*values: float) -> Curve:
    return Curve([8 * (i + 1) for i in range(len(values))], list(range(len(values))), list(values))


@pytest.mark.parametrize(
    ("curves", "titles"),
    [
        ({"val/score": (1, 2, 3), "val/kl": (0, 4, 2)}, ["reward"]),
        ({"val/score": (1, 2, 3), "val/true_score": (1, 2, 1), "val/kl": (0, 4, 9)}, ["reward", "true reward"]),
        ({"val/score": (1,), "val/kl": (0,)}, []),
        ({"val/score": (1, 2, 3)}, []),
    ],
)
def test_rewards_are_drawn_against_kl(tmp_path: Path, curves, titles):
    known = {name: curve(*values) for name, values in curves.items()}
    run = Run(tmp_path, {"task": "reward_maximization"}, [], {}, [], known)
    sections = Policies().sections(run, Album(tmp_path))
    html = "".join(section.html for section in sections)
    assert [f"<b>{title} against KL</b>" in html for title in ("reward", "true reward")] == [
        title in titles for title in ("reward", "true reward")
    ]
    assert len(sections) == bool(titles)
