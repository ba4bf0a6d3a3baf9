"""Images of a split for those who do not load them: what a run shows, measures, or begins with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.ops.indices import evenly


def images_of(
    trainer: pl.Trainer, split: str, most: int, batch_size: int, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """At most `most` images of a split, evenly taken, unaugmented, in batches on the device: every world_size-th."""
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    device = trainer.strategy.root_device
    dataset = datamodule.eval_loader(split).dataset
    for indices in torch.tensor(evenly(len(dataset), most)).split(batch_size)[rank::world_size]:
        batch = datamodule.transfer_batch_to_device(dataset[indices, torch.zeros_like(indices)], device, 0)
        stage, trainer.state.stage = trainer.state.stage, None  # in training, a batch would be augmented
        images, labels = datamodule.on_after_batch_transfer(batch, 0)
        trainer.state.stage = stage
        yield images, labels
