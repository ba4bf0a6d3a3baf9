"""What the benchmarks measure learns as well, and goes on as exactly, as what they compare it with."""

from __future__ import annotations

import re
from pathlib import Path

import commands
import pytest
import torch
from outcomes import results
from PIL import Image
from seeds import seed

from lightloom.data.images.readers import Digits
from lightloom.engine import checkpoint

ROOT = Path(__file__).parents[2]
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
    (run,) = logs.glob("runs/*/*")
    return results(run)


def weights(logs: Path) -> dict[str, torch.Tensor]:
    (last,) = logs.glob("runs/*/*/checkpoints/last.ckpt")
    return checkpoint.load(last)["state_dict"]


@pytest.mark.learns
def test_a_cached_run_learns_the_same_and_goes_on_the_same(digits, tmp_path):
    options = [*OPTIONS, f"data.root={digits}", f"seed={seed()}"]
    plain = train(tmp_path / "plain", *options, "trainer.max_epochs=12")
    train(tmp_path / "cached", *options, "data.cache=true", "trainer.max_epochs=5")
    cached = train(tmp_path / "cached", "ckpt_path=last", "trainer.max_epochs=12")
    assert cached == plain
    assert plain["test/acc"] > 0.85
    assert list((tmp_path / "cached" / "cache").glob("*.images"))
    ours, theirs = weights(tmp_path / "cached"), weights(tmp_path / "plain")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_gpu_benchmark_runs_where_there_is_none(tmp_path):
    """A small airbench on random images: both loops run, and their arithmetic goes with their images per second."""
    small = ["trainer=cpu", "data.batch_size=50", "model.network.widths=[8,8,8]"]
    options = ["--precision", "32-true", "--compile", "false", "--epochs", "2", "--images", "500", "--set", *small]
    env = {"LIGHTLOOM_DATA_DIR": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "benchmarks")}
    said = commands.run(tmp_path, *options, script="../benchmarks/accelerator", env=env)
    assert "random images like cifar10, 32-true; cpu" in said
    rates = [float(x.replace(",", "")) for x in re.findall(r"([\d.,]+) per s +\[.*(?:train.py|bare loop)", said)]
    used = [float(x) for x in re.findall(r"MFU [\d.]+  (\S+) of", said)]
    assert len(rates) == len(used) == 2
    assert used[0] / used[1] == pytest.approx(rates[0] / rates[1], rel=0.02)
