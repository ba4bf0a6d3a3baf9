"""Autoencoders: plain, denoising, sparse, of images or of signals.

Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightloom.core.ranges import NotNegative, checked
from lightloom.modules.corruption import Corruption
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.ops.rng import content_keys
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

_CORRUPTION = 3  # seed of evaluation, the same for all models
BEST_PSNR = 100.0  # dB, also of a perfect reconstruction


class Autoencoder(pl.LightningModule):
    """A code h of x, and x again from the code, by the least mean squared error.

    encoder: x (B, ...) in [0, 1] to h (B, K). decoder: h to the shape of x, then `activation`. The error is a mean
    over values and batch, to which are added code_penalty times the sum of |h|, the batch's mean, and weight_penalty
    times the sum of all squared weights (biases and norms are free).
    corruption: what is done to x before it is encoded; the error is always that to x itself.
    """

    better: ClassVar[dict[str, str]] = {"loss": "min", "mse": "min", "psnr": "max"}

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        activation: nn.Module,
        optimizer: OptimizerFactory,
        scheduler: Callable[..., Schedule] | None = None,
        corruption: Corruption | None = None,
        code_penalty: NotNegative = 0.0,
        weight_penalty: NotNegative = 0.0,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.activation = encoder, decoder, activation
        self.optimizer, self.scheduler, self.corruption = optimizer, scheduler, corruption
        self.code_penalty, self.weight_penalty = code_penalty, weight_penalty
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.means = TrainingMeans("loss", "mse")

    def forward(self, x: Tensor) -> Tensor:
        """x as the decoder makes it, activated."""
        return self.activation(self.decoder(self.encoder(x)))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x = batch[0]
        code = self.encoder(x if self.corruption is None else self.corruption(x))
        error = squared_error(x, self.activation(self.decoder(code))).mean()
        loss = error + self.penalty(code)
        self.means.add(loss=loss, mse=error)
        return loss

    def penalty(self, code: Tensor) -> Tensor:
        """What the code (B, K) and the weights cost."""
        penalty = code.new_zeros(())
        if self.code_penalty:
            penalty = penalty + self.code_penalty * code.abs().sum(1).mean()
        if self.weight_penalty:
            squares = [p.square().sum() for p in self.parameters() if p.ndim > 1]
            penalty = penalty + self.weight_penalty * torch.stack(squares).sum()
        return penalty

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]

    # --- what is made, and how it is judged

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step."""
        names = ("mse",) if self.corruption is None else ("mse", "mse_corrupted")
        evaluated = [f"{stage}/{name}" for stage in ("val", "test") for name in names]
        return [*self.means.logged, *evaluated, "test/psnr"]

    def features(self, images: Tensor) -> Tensor:
        """The code, (B, K)."""
        return self.encoder(images)

    def reconstruct(self, images: Tensor) -> Tensor:
        """The images from their codes, in [0, 1]."""
        return self(images).float().clamp(0, 1)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._log("val", len(batch[0]), self._errors(batch[0]))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        errors = self._errors(batch[0])
        self._log("test", len(batch[0]), {**errors, "psnr": psnr(errors["mse"])})

    def _errors(self, x: Tensor) -> dict[str, Tensor]:
        """(B,) each, from x as it is and, where there is a corruption, from x corrupted by its content."""
        errors = {"mse": squared_error(x, self(x))}
        if self.corruption is not None:
            errors["mse_corrupted"] = squared_error(x, self(self.corruption(x, content_keys(x, _CORRUPTION))))
        return errors

    def _log(self, stage: str, count: int, values: dict[str, Tensor]) -> None:
        means = {f"{stage}/{name}": value.mean() for name, value in values.items()}
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """The mean over each sample's values. x, x_hat: (B, ...). Returns (B,)."""
    return (x_hat.float() - x).square().flatten(1).mean(1)


def psnr(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of values in [0, 1], BEST_PSNR at most."""
    return (-10 * mse.log10()).clamp(max=BEST_PSNR)
