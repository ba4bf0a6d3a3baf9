"""Images with a row of targets each, as batches of float images in [0, 1] and float targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightloom.core.errors import UserError
from lightloom.data.contract import Summary
from lightloom.data.images.datamodule import ImageDataModule
from lightloom.data.images.readers import Split
from lightloom.data.targets.tables import spread


class TagDataModule(ImageDataModule):
    """Images (B, C, H, W) with 1 for each label that an image has and 0 for the others, (B, num_classes).

    `classes` are the labels. See `ImageDataModule` for all options; parts are drawn without regard to labels.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in ("mixup", "cutmix"):
            if getattr(self.augment, name):
                raise UserError(
                    f"data.augment.{name} mixes images that have one label; these have several: leave it out."
                )
        if self.balanced:
            raise UserError("data.balanced=true draws by an image's one label; these have several: leave it out.")

    def strata(self, labels: Tensor) -> Tensor:
        return torch.zeros(len(labels), dtype=torch.int64)

    def renumbered(self, labels: Tensor, order: Tensor) -> Tensor:
        found = labels.new_zeros(len(labels), len(self.model_classes))
        found[:, order] = labels
        return found

    def check_labels(self, split: Split) -> None:
        """Readers have."""


class ValueDataModule(TagDataModule):
    """Images (B, C, H, W) with numbers, (B, num_classes), in the units of the data; `classes` are their names.

    target_mean, target_std: of each number over the training images, which the model learns in units of the latter.
    """

    def __init__(
        self,
        target_mean: Sequence[float] | None = None,
        target_std: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.target_mean, self.target_std = target_mean, target_std

    def facts(self) -> dict[str, Any]:
        """Also target_mean and target_std."""
        found = super().facts()
        if self.target_mean is None or self.target_std is None:
            if "train" not in self.splits:
                self.split_train()
            labels = self.splits["train"].labels
            assert labels is not None
            self.target_mean, self.target_std = spread(labels)
        return {**found, "target_mean": list(self.target_mean), "target_std": list(self.target_std)}

    def summary(self) -> Summary:
        return replace(super().summary(), of=f"{self.num_classes:,} numbers each")
