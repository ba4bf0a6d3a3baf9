"""Evaluate unsupervised features by 1-nearest-neighbour classification (Donahue et al. 2017, section 4.2) and a linear
one (Donahue & Simonyan 2019, section 4).
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from lightloom.callbacks.offers import lacks, lacks_parts, parts_of
from lightloom.callbacks.samples.quality import gather
from lightloom.core.ranges import Count, Positive
from lightloom.data.subset import images_of
from lightloom.metrics.linear_probe import linear_probe_accuracy
from lightloom.metrics.neighbours import nearest_neighbour_accuracy
from lightloom.ops.typed_trainer import typed

Kept = tuple[list[Tensor], list[Tensor]]  # features (B, D) and labels (B,) of each batch


class NearestNeighbours(pl.Callback):
    """Logs test/nearest_neighbour_acc: test images get the label of the nearest of `most` training images; and
    test/nearest_neighbour_of, how many there were.

    For modules with `features(images) -> (B, D)`. Images of unknown label (-1) are left out; without others, nothing
    is logged. The same figure whatever the number of processes.
    """

    accuracy, number = "test/nearest_neighbour_acc", "test/nearest_neighbour_of"
    only_shows = True  # a run that is resumed may have it otherwise, or not at all
    at_test = True  # of use when a checkpoint is tested, too

    def __init__(self, most: Count = 10_000, batch_size: Count = 500) -> None:
        self.most, self.batch_size = most, batch_size
        self._train: Kept = ([], [])
        self._test: Kept = ([], [])
        self._left_out = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._left_out = lacks(module, "features", self.accuracy, self._left_out)

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep the features and labels of test images, and with the first batch those of training images."""
        self._left_out = self._left_out or lacks_parts(batch, 2, self.accuracy)
        if self._left_out:
            return
        if batch_idx == 0:
            self._train, self._test = ([], []), ([], [])
            for part in images_of(
                trainer, "train", self._most(trainer), self.batch_size, trainer.global_rank, trainer.world_size
            ):
                self._take(self._train, module, part)
        self._take(self._test, module, parts_of(batch, 2))

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._left_out:
            return
        train, test = (self._known(trainer, module, kept) for kept in (self._train, self._test))
        self._train, self._test = ([], []), ([], [])
        if len(train[1]) and len(test[1]):
            accuracy = self.measure(*train, *test)
            module.log(self.accuracy, accuracy, rank_zero_only=False, sync_dist=False)
            module.log(self.number, float(len(train[1])), rank_zero_only=False, sync_dist=False)

    def measure(self, features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor) -> float:
        """Of features (N, D) and labels (N,) of training, and (M, D) and (M,) of the test, which are known."""
        return nearest_neighbour_accuracy(features, labels, test_features, test_labels)

    def _most(self, trainer: pl.Trainer) -> int:
        return self.batch_size if typed(trainer).fast_dev_run else self.most

    def _take(self, kept: Kept, module: Any, batch: tuple[Tensor, ...]) -> None:
        kept[0].append(module.features(batch[0].to(module.dtype)).float().cpu())
        kept[1].append(batch[1].cpu())

    def _known(self, trainer: pl.Trainer, module: pl.LightningModule, kept: Kept) -> tuple[Tensor, Tensor]:
        features, labels = (gather(trainer, part, module.device) for part in kept)
        return features[labels >= 0], labels[labels >= 0]


class LinearProbe(NearestNeighbours):
    """Logs test/linear_probe_acc: the accuracy on test images of a linear classifier, fitted in closed form to the
    features of `most` training images; and test/linear_probe_of, how many there were. As `NearestNeighbours`.

    ridge: weight of the squared norm of the classifier, in images.
    """

    accuracy, number = "test/linear_probe_acc", "test/linear_probe_of"

    def __init__(self, most: Count = 10_000, batch_size: Count = 500, ridge: Positive = 1.0) -> None:
        super().__init__(most, batch_size)
        self.ridge = ridge

    def measure(self, features: Tensor, labels: Tensor, test_features: Tensor, test_labels: Tensor) -> float:
        return linear_probe_accuracy(features, labels, test_features, test_labels, self.ridge)
