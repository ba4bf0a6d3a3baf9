"""Runs that are trained, stopped and continued within the test process, and what of them is compared."""

from __future__ import annotations

import csv
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from lightloom.engine.trainer import prepare
from lightloom.loggers.csv import ContinuedCSVLogger
from lightloom.modules.classifier import Classifier
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
    loop: str = "lightning",
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
    prepare(trainer, loop)
    if resume:
        checkpoints.every_n_steps = None  # compared is what it trains, not what it saves
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
        assert not differences(wanted, continued), file.name
    return len(kept)


OPTIONS = ("model=mlp", "data.batch_size=200", "seed=3", "callbacks.checkpoint.every_n_steps=3", "trainer.max_epochs=4")


def saved_state(run_folder: Path) -> dict[str, Any]:
    saved = checkpoint.load(run_folder / "checkpoints" / "last.ckpt")
    names = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops", "global_step", "train_sums")
    return {name: saved[name] for name in names if name in saved}


def events(run_folder: Path) -> list[tuple[str, int, float]]:
    """TensorBoard's scalars as it shows them: what was purged is gone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run_folder / "tensorboard"))
    accumulator.Reload()
    return [(tag, e.step, e.value) for tag in sorted(accumulator.Tags()["scalars"]) for e in accumulator.Scalars(tag)]
