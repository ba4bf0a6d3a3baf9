"""A run that is killed and continued is the run that was not: the same bits, the same log, the same folder."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from interruptions import differences
from torch import nn
from torchvision.transforms import v2

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.callbacks.run.ema import WeightAverage
from lightloom.callbacks.run.rng import KeyedRandomness
from lightloom.data.images.augment import Augment
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import ImageFolder, Split
from lightloom.engine import checkpoint
from lightloom.loggers.csv import ContinuedCSVLogger
from lightloom.modules.classifier import Classifier
from lightloom.networks.airbench import AirBench
from lightloom.optim import schedules

SCHEDULES: dict[str, Any] = {
    "cosine": partial(schedules.cosine, warmup=0.2),
    "step": partial(schedules.step, milestones=[0.5, 0.75], factor=0.1),
    "one_cycle": schedules.one_cycle,
    "triangular": partial(schedules.triangular, start=0.2, final=0.05),
    "plateau": partial(schedules.plateau, monitor="val/loss", mode="min", factor=0.5, patience=0),
    "plateau on train/loss": partial(schedules.plateau, monitor="train/loss", mode="max", factor=0.5, patience=0),
}


class Noise:
    """64 images of noise in three classes; a tenth is for validation, and two of the rest fill no batch of eight."""

    classes = ("a", "b", "c")

    def read(self, split: str) -> Split | None:
        if split == "val":
            return None
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=generator)
        return Split(images=images, labels=torch.arange(64) % 3)


def noise_folder(root: Path) -> ImageFolder:
    for i, image in enumerate(Noise().read("train").images):
        (root / f"{i % 3}").mkdir(parents=True, exist_ok=True)
        v2.functional.to_pil_image(image.squeeze(0)).save(root / f"{i % 3}" / f"{i}.png")
    return ImageFolder(root=str(root), channels=1, image_size=8, in_memory=False)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * 36, 3)
    )


class KeepAll(RunCheckpoint):
    """Keeps a copy of every checkpoint, beside the log as it was then."""

    state_key = "RunCheckpoint"

    def _save(self, trainer: pl.Trainer, path: Path) -> None:
        super()._save(trainer, path)
        kept = self.folder / f"{path.stem}-{trainer.global_step:02d}-{trainer.fit_loop.epoch_loop.batch_idx}.ckpt"
        shutil.copy(path, kept)
        log = self.folder.parent / "metrics.csv"
        if log.exists():
            shutil.copy(log, kept.with_suffix(".csv"))


def fit(
    folder: Path,
    resume: Path | None = None,
    keeper: type[RunCheckpoint] = RunCheckpoint,
    schedule: str = "cosine",
    optimizer: Any = partial(torch.optim.SGD, lr=0.1, momentum=0.9),  # noqa: B008
    data: dict[str, Any] | None = None,
    ema: bool = False,
    make_network: Callable[[], nn.Module] = network,
    model: dict[str, Any] | None = None,
    every_n_steps: int | None = 1,
    callbacks: Sequence[pl.Callback] = (),
    **options: Any,
) -> pl.Trainer:
    """Train for three epochs, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    module = Classifier(make_network(), optimizer, 3, [0.5], [0.25], SCHEDULES[schedule], **(model or {}))
    module.save_hyperparameters({"model": {}, "data": {}})
    facts = {"name": "noise", "kind": "image", "num_classes": 3, "classes": None, "channels": 1, "image_size": 8}
    loading = {"batch_size": 8, "eval_batch_size": 4, "augment": Augment(crop_padding=2, flip=True, cutout=2)}
    datamodule = ImageDataModule(
        **{"reader": Noise(), **facts, "mean": [0.5], "std": [0.25], **loading, **(data or {})}
    )
    checkpoints = keeper(str(folder / "checkpoints"), "val/acc", "max", every_n_steps=every_n_steps)
    return train(folder, module, datamodule, checkpoints, resume, ema, callbacks, **options)


def train(
    folder: Path,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    checkpoints: RunCheckpoint,
    resume: Path | None,
    ema: bool = False,
    callbacks: Sequence[pl.Callback] = (),
    **options: Any,
) -> pl.Trainer:
    average = [WeightAverage(decay=0.9)] if ema else []
    logger = ContinuedCSVLogger(str(folder))
    trainer = pl.Trainer(
        **{"max_epochs": 3, **options},
        accelerator="cpu",
        callbacks=[KeyedRandomness(0), checkpoints, *average, *callbacks],
        logger=logger,
        plugins=[checkpoint.SafeCheckpointIO()],
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if resume:
        logger.continue_from(checkpoint.load(resume)["global_step"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    return trainer


def run(folder: Path, resume: Path | None = None, **options: Any) -> dict[str, Any]:
    return state(fit(folder, resume, **options), folder, resume)


def state(trainer: pl.Trainer, folder: Path, resume: Path | None) -> dict[str, Any]:
    """All that the next step of a trained run would depend on, and its log."""
    average = [c._average_model.state_dict() for c in trainer.callbacks if isinstance(c, WeightAverage)]
    return {
        "weights": trainer.lightning_module.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict(),
        "scheduler": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        "best": next(c.best_score for c in trainer.callbacks if isinstance(c, RunCheckpoint)),
        "average": average,
        "metrics": {k: v for k, v in trainer.callback_metrics.items() if k.startswith("train") or not resume},
        "steps": trainer.global_step,
        "log": rows(folder / "metrics.csv"),
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def continue_each(
    tmp_path: Path, full: dict[str, Any], pick: slice = slice(None), run: Callable[..., Any] = run, **options: Any
) -> int:
    """Resume from each checkpoint that the run `full` kept, as if the run had been killed much later."""
    kept = sorted((tmp_path / "full" / "checkpoints").glob("*-*.ckpt"))[pick]
    for file in kept:
        folder = tmp_path / file.stem
        folder.mkdir()
        shutil.copy(tmp_path / "full" / "metrics.csv", folder)
        continued = run(folder, file, **options)
        continued["metrics"] = {k: v for k, v in continued["metrics"].items() if k in full["metrics"]}
        wanted = {**full, "metrics": {k: full["metrics"][k] for k in continued["metrics"]}}
        if continued["average"] and checkpoint.load(file)["global_step"] == full["steps"]:
            continued["weights"] = wanted["weights"]  # the average took their place when the run ended
        assert not differences(wanted, continued), file.name
    return len(kept)


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
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_resume_is_exact_from_every_step(tmp_path, options):
    full = run(tmp_path / "full", keeper=KeepAll, **options)
    assert continue_each(tmp_path, full, **options) >= full["steps"]


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


OPTIONS = ("model=mlp", "data.batch_size=200", "seed=3", "callbacks.checkpoint.every_n_steps=3", "trainer.max_epochs=4")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    logs = tmp_path_factory.mktemp("uninterrupted")
    commands.run(logs, *OPTIONS)
    return commands.runs(logs)[0]


def saved_state(run_folder: Path) -> dict[str, Any]:
    saved = checkpoint.load(run_folder / "checkpoints" / "last.ckpt")
    names = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops", "global_step", "train_sums")
    return {name: saved[name] for name in names}


def events(run_folder: Path) -> list[tuple[str, int, float]]:
    """TensorBoard's scalars as it shows them: what was purged is gone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run_folder / "tensorboard"))
    accumulator.Reload()
    return [(tag, e.step, e.value) for tag in sorted(accumulator.Tags()["scalars"]) for e in accumulator.Scalars(tag)]


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
