"""A run that is killed and continued is the run that was not: the same bits, the same log, the same folder."""

from __future__ import annotations

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
from interruptions import differences
from resumable import (
    OPTIONS,
    SCHEDULES,
    KeepAll,
    continue_each,
    events,
    fit,
    noise_folder,
    rows,
    run,
    saved_state,
)
from torchvision.transforms import v2

from lightloom.data.images.augment import Augment
from lightloom.engine import checkpoint
from lightloom.networks.airbench import AirBench

CASES: dict[str, dict[str, Any]] = {
    "cosine, mixup and cutmix": {"data": {"augment": Augment(crop_padding=2, mixup=0.5, cutmix=1.0)}, "max_epochs": 2},
    "plateau, accumulation": {"schedule": "plateau", "accumulate_grad_batches": 2},
    "plateau on train/loss": {"schedule": "plateau on train/loss"},
    "one cycle, Adam": {"schedule": "one_cycle", "optimizer": partial(torch.optim.Adam, lr=0.01), "max_epochs": 2},
    "moving average": {"ema": True, "max_epochs": 2},
    "milestones, limit": {"schedule": "step", "limit_train_batches": 5},
    "validation inside epochs": {"val_check_interval": 3, "max_epochs": 2},
    "all that a speedrun uses": {
        "schedule": "triangular",
        "optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3, fused=True),
        "data": {"augment": Augment(crop_padding=2, flip=True, flip_order="alternating"), "on_device": True},
        "make_network": partial(AirBench, 1, 3, image_size=8, widths=[4, 4]),
        "model": {"label_smoothing": 0.2, "bias_lr": 8, "channels_last": True, "test_views": "flip_and_shift"},
        "ema": True,
        "precision": "bf16-mixed",
        "max_epochs": 2,
    },
    "bf16-mixed": {"precision": "bf16-mixed", "max_epochs": 2},
    "validation every second epoch": {"check_val_every_n_epoch": 2},
    "max_steps inside an epoch": {"max_steps": 17},
    "layer decay, a start that thaws, average": {
        "optimizer": partial(torch.optim.AdamW, lr=0.01),
        "model": {"optimizer_groups": {"freeze": ["0", "1"], "unfreeze_at_epoch": 1, "layer_decay": 0.5}},
        "ema": True,
        "max_epochs": 2,
    },
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_resume_is_exact_from_every_step(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert continue_each(tmp_path, full, **options) >= full["steps"]


@pytest.mark.parametrize(("before", "after"), [("fast", "lightning"), ("lightning", "fast"), ("fast", "fast")])
def test_a_run_goes_on_under_either_loop(tmp_path, before, after):
    options = {"max_epochs": 2, "val_check_interval": 2, "accumulate_grad_batches": 2}
    full = run(tmp_path / "full", keeper=KeepAll, loop=before, **options)
    assert continue_each(tmp_path, full, loop=after, **options) >= full["steps"]


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0)])
@pytest.mark.parametrize("source", ["memory", "files", "cached files"])
def test_resume_is_exact_with_workers(tmp_path, source, before, after):
    """Some go on without the cache that the run had, which must not matter."""
    data: dict[str, Any] = {}
    if source != "memory":
        transform = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomAffine(20, (0.2, 0.2)), v2.ColorJitter(0.5)])
        data = {"reader": noise_folder(tmp_path / "data"), "transform": transform}
    cached = {"cache": source == "cached files", "cache_dir": str(tmp_path / "cache")}
    full = run(tmp_path / "full", keeper=KeepAll, data={**data, **cached, "num_workers": before})
    continue_each(tmp_path, full, slice(4, None, 18), data={**data, **cached, "num_workers": after})
    continue_each(tmp_path, full, slice(13, None, 18), data={**data, "num_workers": after})
    assert not differences(full["weights"], run(tmp_path / "again", data={**data, "num_workers": after})["weights"])


def test_log_has_no_gap_and_no_duplicate(tmp_path):
    """Killed right after a checkpoint, or much later: the rows are those of the run that was not killed."""
    full = run(tmp_path / "full", keeper=KeepAll)
    for file in sorted((tmp_path / "full" / "checkpoints").glob("last-*.ckpt"))[3:-1:4]:
        for log in (file.with_suffix(".csv"), tmp_path / "full" / "metrics.csv"):
            folder = tmp_path / f"{file.stem}-{log.stem}"
            folder.mkdir()
            if log.exists():
                shutil.copy(log, folder / "metrics.csv")
            assert run(folder, file)["log"] == full["log"]
    assert [row["step"] for row in full["log"]] == ["6", "6", "13", "13", "20", "20"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_finished_run_can_be_made_longer(tmp_path, schedule):
    """The first epochs are kept, the rest is new; with a schedule that knows no end, as if it had been planned."""
    run(tmp_path / "run", schedule=schedule, every_n_steps=None)
    longer = run(tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt", schedule=schedule, max_epochs=5)
    assert longer["steps"] == 35
    assert [row["step"] for row in longer["log"]] == [str(7 * e + 6) for e in range(5) for _ in range(2)]
    if "plateau" in schedule:
        assert not differences(longer["weights"], run(tmp_path / "planned", schedule=schedule, max_epochs=5)["weights"])


def test_max_steps_can_be_raised(tmp_path):
    """Also from inside an epoch, where the run ended."""
    options = {"schedule": "plateau", "every_n_steps": None}
    run(tmp_path / "run", max_steps=10, **options)
    longer = run(tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt", **options)
    planned = run(tmp_path / "planned", **options)
    assert not differences(planned["weights"], longer["weights"])


def test_checkpoint_interval_counts_optimizer_steps(tmp_path):
    """Seven batches, two to a step: steps 1 to 3 of an epoch have two batches, the fourth has one and ends it."""
    run(tmp_path / "full", keeper=KeepAll, every_n_steps=3, accumulate_grad_batches=2)
    kept = {file.stem for file in (tmp_path / "full" / "checkpoints").glob("last-*.ckpt")}
    assert kept == {"last-03-5", "last-04-6", "last-06-3", "last-08-6", "last-09-1", "last-12-6"}


def test_average_is_what_is_tested(tmp_path):
    """A test that loads the best checkpoint gets the averaged weights, which eval.py finds in it too."""
    trainer = fit(tmp_path, ema=True)
    best = tmp_path / "checkpoints" / "best.ckpt"
    saved = checkpoint.load(best)
    assert differences(saved["state_dict"], saved["current_model_state"])
    trainer.test(trainer.lightning_module, trainer.datamodule, ckpt_path=best, verbose=False)
    assert not differences(dict(trainer.lightning_module.state_dict()), dict(saved["state_dict"]))


# --- the command


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    logs = tmp_path_factory.mktemp("uninterrupted")
    commands.run(logs, *OPTIONS)
    return commands.runs(logs)[0]


def test_killed_in_an_epoch_and_continued_without_repeating_options(tmp_path, uninterrupted):
    """SIGKILL after a checkpoint at step 3n, inside an epoch of six steps; `ckpt_path=<run folder>` does the rest."""
    first = commands.start(tmp_path, *OPTIONS, "data.num_workers=2")

    def inside_an_epoch() -> bool:
        found = [*tmp_path.glob("runs/*/*/checkpoints/last.ckpt")]
        return bool(found) and checkpoint.load(found[0])["global_step"] >= 9

    first.wait_until(inside_an_epoch)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    (found,) = commands.runs(tmp_path)
    assert checkpoint.load(found / "checkpoints" / "last.ckpt")["global_step"] < 24
    output = commands.run(tmp_path, f"ckpt_path={found}")
    assert commands.runs(tmp_path) == [found]
    assert not differences(saved_state(uninterrupted), saved_state(found))
    assert rows(found / "metrics.csv") == rows(uninterrupted / "metrics.csv")
    assert events(found) == events(uninterrupted)
    assert "resumable" not in output
    assert "Warning" not in output

    longer = commands.run(tmp_path, "ckpt_path=last", "trainer.max_epochs=5")
    assert "epoch 5/5" in longer
    assert "epoch 4/5" not in longer
    again = commands.run(tmp_path, f"ckpt_path={found / 'checkpoints' / 'last.ckpt'}")
    assert "5 epochs, 30 steps" in again
    assert commands.runs(tmp_path) == [found]
    assert [row["step"] for row in rows(found / "metrics.csv")][-1] == "30"
    recorded = (found / "overrides.txt").read_text().splitlines()
    others = [option for option in OPTIONS if not option.startswith("trainer.max_epochs=")]
    assert recorded == [*others, "data.num_workers=2", "trainer.max_epochs=5"]
