"""Images of a split for those who do not load them: what a run shows, measures, or begins with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.ops.indices import evenly


def images_of(
    trainer: pl.Trainer, split: str, most: int, batch_size: int, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """At most `most` images of a split with their labels, evenly taken, unaugmented, in batches on the device.

    Every world_size-th batch. Of data that is not ours the first ones that its loader gives this process.
    """
    datamodule: Any = getattr(trainer, "datamodule", None)
    if contract.offered(datamodule, "eval_loader", split) is None:
        yield from _first_of(trainer, split, most)
        return
    device = trainer.strategy.root_device
    dataset = datamodule.eval_loader(split).dataset
    for indices in torch.tensor(evenly(len(dataset), most)).split(batch_size)[rank::world_size]:
        batch = datamodule.transfer_batch_to_device(dataset[indices, torch.zeros_like(indices)], device, 0)
        stage, trainer.state.stage = trainer.state.stage, None  # in training, a batch would be augmented
        images, labels = datamodule.on_after_batch_transfer(batch, 0)
        trainer.state.stage = stage
        yield images, labels


def _first_of(trainer: pl.Trainer, split: str, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first `most` images that a plain loader of the trainer gives, with their labels; -1 where it gives none."""
    if split == "train":
        trainer.fit_loop.setup_data()
    loaders = trainer.train_dataloader if split == "train" else getattr(trainer, f"{split}_dataloaders")
    if loaders is None:
        raise UserError(f"There is no {split} loader to take images from; give the trainer one, or a datamodule.")
    left = most
    for batch in loaders if not isinstance(loaders, list) else loaders[0]:
        images, labels = batch[:2] if isinstance(batch, list | tuple) else (batch, torch.full((len(batch),), -1))
        images, labels = trainer.strategy.batch_to_device((images[:left], labels[:left]))
        yield images, labels
        left -= len(images)
        if left <= 0:
            return
