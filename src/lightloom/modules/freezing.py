"""What is frozen stays as it is, weights and statistics, for good or for the first epochs."""

from __future__ import annotations

import logging

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer

from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.patterns import matches

log = logging.getLogger("lightloom")


class Freezing(pl.Callback):
    """Parameters that the patterns match get no gradient; layers whose buffers they match evaluate (batch norm).

    It keeps no state: whether something is frozen follows from the epoch, so that a resumed run has it right. Dropout
    stays as it is. What thaws later is known to the optimizer and the schedule from the start; an optimizer leaves a
    parameter without gradient alone, decay included. DDP notes when a run begins whose gradients are exchanged: of
    several processes such gradients are therefore computed, and dropped before they are clipped or used.
    """

    def __init__(self, groups: OptimizerGroups) -> None:
        self.patterns, self.until = tuple(groups.freeze or ()), groups.unfreeze_at_epoch
        self.parameters: list[nn.Parameter] = []
        self.layers: list[nn.Module] = []
        self._dropped: list[nn.Parameter] = []

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.parameters = [p for name, p in module.named_parameters() if matches(name, self.patterns)]
        self.layers = frozen_layers(module, self.patterns)
        log.debug("frozen: %d parameters, the statistics of %d layers", len(self.parameters), len(self.layers))
        if self.until is None:
            self._set_gradients(False)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._hold(trainer, self._frozen_in(trainer.current_epoch))

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._hold(trainer, self._frozen_in(trainer.current_epoch))

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Optimizer) -> None:
        for parameter in self._dropped:
            parameter.grad = None

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """What another fit, or a loop of one's own, begins with."""
        if stage == "fit":
            self._set_gradients(self.until is not None)
            self._set_training(True)

    def _frozen_in(self, epoch: int) -> bool:
        return self.until is None or epoch < self.until

    def _hold(self, trainer: pl.Trainer, frozen: bool) -> None:
        drops = frozen and self.until is not None and trainer.world_size > 1
        self._dropped = self.parameters if drops else []
        self._set_gradients(drops or not frozen)
        self._set_training(not frozen)

    def _set_gradients(self, wanted: bool) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(wanted)

    def _set_training(self, training: bool) -> None:
        for layer in self.layers:
            layer.training = training


def frozen_layers(module: nn.Module, patterns: tuple[str, ...]) -> list[nn.Module]:
    """The layers that own a buffer which a pattern matches: running statistics, the vectors of spectral norm."""
    return [
        layer
        for path, layer in module.named_modules()
        if any(matches(f"{path}.{name}", patterns) for name, _ in layer.named_buffers(recurse=False))
    ]


def freezing(groups: OptimizerGroups) -> list[pl.Callback]:
    """What `configure_callbacks` returns for the option `freeze`: nothing where it is not set."""
    return [Freezing(groups)] if groups.freeze else []
