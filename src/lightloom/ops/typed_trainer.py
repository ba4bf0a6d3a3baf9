"""What a Trainer has beside what its class declares, with the types: Lightning sets these where it is built."""

from __future__ import annotations

from typing import Protocol, cast

import pytorch_lightning as pl


class TypedTrainer(Protocol):
    """fast_dev_run: the batches of a trial run, or False. val_check_batch: after which of an epoch it validates."""

    fast_dev_run: int | bool
    datamodule: pl.LightningDataModule | None
    callbacks: list[pl.Callback]
    lightning_module: pl.LightningModule
    test_dataloaders: object
    val_check_batch: int | float
    check_val_every_n_epoch: int | None


def typed(trainer: pl.Trainer) -> TypedTrainer:
    """The same trainer."""
    return cast(TypedTrainer, trainer)


def classes_of(trainer: pl.Trainer) -> list[str]:
    """The names of the data's classes; none where it does not say."""
    return list(getattr(typed(trainer).datamodule, "classes", None) or ())
