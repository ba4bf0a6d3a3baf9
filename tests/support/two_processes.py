"""The law that two processes train and measure what one does."""

from __future__ import annotations

from pathlib import Path

import commands
import pytest
import torch
from outcomes import results, weights


def one_and_two(folder: Path, *options: str) -> tuple[Path, Path]:
    """The run folders of one process and of two, whose weights and results are equal; three processes of seconds."""
    commands.run(folder / "a", *options, "trainer=cpu", "run_name=one")
    commands.run_two(folder / "b", *options, "run_name=one")
    one, two = (folder / name / "runs/one" for name in ("a", "b"))
    found = weights(two)
    for name, value in weights(one).items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
    assert results(two) == pytest.approx(results(one), rel=1e-4)
    return one, two
