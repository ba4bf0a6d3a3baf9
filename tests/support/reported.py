"""Finished runs to report on, each of some seconds, trained when they are first asked for."""

import functools
import tempfile
from pathlib import Path

import commands

SMALL = ("trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=6", "preflight=false")
KINDS = {
    "classifier": ("model=mlp", "model.network.hidden=[8]", "data=digits"),
    "gan": ("model=gan", "data=digits", "callbacks.quality.val_samples=64", "callbacks.quality.test_samples=64"),
    "detector": (
        *("model=yolo", "data=digit_scenes", "data.image_size=64", "data.batch_size=2", "model.min_score=0.2"),
        *("data.reader.train_size=12", "data.reader.val_size=2", "data.reader.test_size=6"),
    ),
}


@functools.cache
def run(kind: str) -> Path:
    """The folder of a run of this kind; tests leave it as it is."""
    log_dir = Path(tempfile.mkdtemp(prefix="lightloom-reported-"))
    commands.run(log_dir, *KINDS[kind], *SMALL, f"run_name={kind}")
    return (log_dir / "runs" / kind).resolve()


@functools.cache
def seeds() -> Path:
    """The folder of runs of two networks with two seeds each."""
    log_dir = Path(tempfile.mkdtemp(prefix="lightloom-seeds-"))
    commands.run(log_dir, "-m", "seed=1,2", "model.network.hidden=[8],[4]", "model=mlp", "data=digits", *SMALL)
    return (log_dir / "multiruns").resolve()
