"""What the benchmarks measure learns as well, and goes on as exactly, as what they compare it with."""

from __future__ import annotations

import json
from pathlib import Path

import commands
import pytest
import torch
from PIL import Image

from lightlab import checkpoint
from lightlab.data.readers import Digits

OPTIONS = [
    "model=mlp",
    "scheduler=constant",
    "trainer=cpu",
    "data=image_folder",
    "data.image_size=8",
    "data.channels=1",
]
OPTIONS += ["data.mean=[0.3]", "data.std=[0.33]", "data.augment.flip=false", "data.num_workers=0", "data.batch_size=32"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """A third of the digits as files."""
    root = tmp_path_factory.mktemp("digits")
    for name in ("train", "test"):
        split = Digits().read(name)
        for i in range(0, len(split), 3):
            path = root / name / str(int(split.labels[i])) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(split.images[i, 0].numpy()).save(path)
    return root


def train(logs: Path, *options: str) -> dict[str, float]:
    commands.run(logs, *options)
    (results,) = logs.glob("runs/*/*/results.json")
    return {k: v for k, v in json.loads(results.read_text()).items() if k != "train_seconds"}


def weights(logs: Path) -> dict[str, torch.Tensor]:
    (last,) = logs.glob("runs/*/*/checkpoints/last.ckpt")
    return checkpoint.load(last)["state_dict"]


def test_a_cached_run_learns_the_same_and_goes_on_the_same(digits, tmp_path):
    options = [*OPTIONS, f"data.root={digits}"]
    plain = train(tmp_path / "plain", *options, "trainer.max_epochs=12")
    train(tmp_path / "cached", *options, "data.cache=true", "trainer.max_epochs=5")
    cached = train(tmp_path / "cached", "ckpt_path=last", "trainer.max_epochs=12")
    assert cached == plain
    assert plain["test/acc"] > 0.85
    assert list((tmp_path / "cached" / "cache").glob("*.images"))
    ours, theirs = weights(tmp_path / "cached"), weights(tmp_path / "plain")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
