"""Means over an epoch of what a training step measures."""

from __future__ import annotations

import math
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.core.errors import UserError


class TrainingMeans(pl.Callback):
    """Logs `train/<name>` at the end of an epoch: the mean of what was added under the name, over all processes.

    A module owns one and returns it from `configure_callbacks`. Each name has its own count; one to which nothing was
    added is not logged. The sums are in the checkpoint, so a run that is resumed inside an epoch logs the same means.
    remedy: what to do about a mean that is not finite.
    """

    def __init__(self, *names: str, remedy: str = "lower model.optimizer.lr or set trainer.gradient_clip_val") -> None:
        self.names, self.remedy = names, remedy
        self._reset()

    @property
    def logged(self) -> list[str]:
        return [f"train/{name}" for name in self.names]

    def add(self, **values: Tensor) -> None:
        """One more value of each of these names, scalar tensors; costs no synchronisation with the device."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value.detach().float()
            self._counts[name] += 1

    def not_finite(self) -> list[str]:
        """The names whose mean is no longer a finite number."""
        return [name for name, total in self._sums.items() if not math.isfinite(total)]

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._reset()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        totals = self._of_all(module).sum(0).tolist()
        means = {name: total / count for name, total, count in zip(self.names, *totals, strict=True) if count}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise UserError(
                    f"train/{name} is {mean} in epoch {trainer.current_epoch + 1}; {self.remedy}. "
                    f"The checkpoints of the epochs before are kept."
                )
        module.log_dict({f"train/{name}": mean for name, mean in means.items()})

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        of_all = self._of_all(module).cpu()
        checkpoint["training_means"] = {name: of_all[:, :, i].clone() for i, name in enumerate(self.names)}

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._reset()
        for name, of_all in checkpoint.get("training_means", {}).items():  # (processes, 2): sum and count
            if len(of_all) == trainer.world_size:
                own = of_all[trainer.global_rank]
            else:
                own = of_all.sum(0) * trainer.is_global_zero
            self._sums[name], self._counts[name] = own[0], int(own[1])

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = dict.fromkeys(self.names, torch.zeros(()))
        self._counts = dict.fromkeys(self.names, 0)

    def _of_all(self, module: pl.LightningModule) -> Tensor:
        """(processes, 2, names): sums and counts."""
        sums = torch.stack([self._sums[name].to(module.device) for name in self.names])
        counts = torch.tensor([float(self._counts[name]) for name in self.names], device=module.device)
        return cast(Tensor, module.all_gather(torch.stack([sums, counts]))).view(-1, 2, len(self.names))
