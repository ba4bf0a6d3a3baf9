"""Text recognition: the symbols of a short text in a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import BinaryCalibrationError

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, NotNegative, checked
from lightloom.data.contract import offered
from lightloom.losses.text_recognition import CTC, PlaceCrossEntropy
from lightloom.metrics.text_recognition import ReadingErrors, SymbolConfusion
from lightloom.modules.freezing import freezing
from lightloom.modules.optimization import configure_optimizer
from lightloom.modules.training_means import TrainingMeans
from lightloom.ops.ctc import BLANK, Reading
from lightloom.ops.torch_internals import leave_out_of_ddp
from lightloom.ops.typed_trainer import typed
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import OptimizerFactory
from lightloom.optim.schedules import Schedule

MEASURED = ("loss", "exact", "cer", "length_error")
STAGES = ("val", "test")
AUXILIARY_WEIGHT = 0.5  # of the loss of each auxiliary head


class TextReader(pl.LightningModule):
    """A network that gives logits of columns or of places, the normalisation of its input, a loss, and measures.

    Batches: images float (B, C, H, W) in [0, 1], codes int64 (B, L): places of symbols in the alphabet, counted from 1,
    with zeros behind shorter texts. The loss is in nats for each symbol. beam_width: with which an evaluation reads
    columns; 1 takes the most likely path. gradient_clip_val: of the norm, where the Trainer has none; CTC's first
    gradients are large.
    """

    better: ClassVar[dict[str, str]] = {
        "loss": "min", "exact": "max", "cer": "min", "length": "min", "place": "max", "calibration": "min",
    }  # fmt: skip
    test_outputs = ("readings",)
    mean: Tensor
    std: Tensor

    @checked
    def __init__(
        self,
        network: nn.Module,
        loss: CTC | PlaceCrossEntropy,
        optimizer: OptimizerFactory,
        num_symbols: Count,
        min_length: Count,
        max_length: Count,
        mean: Sequence[float],
        std: Sequence[float],
        scheduler: Callable[..., Schedule] | None = None,
        beam_width: Count = 1,
        gradient_clip_val: NotNegative | None = None,
        optimizer_groups: Mapping[str, Any] | OptimizerGroups | None = None,
    ) -> None:
        super().__init__()
        loss.check(min_length, max_length)
        self.network, self.loss, self.optimizer, self.scheduler = network, loss, optimizer, scheduler
        self.num_symbols, self.beam_width, self.gradient_clip_val = num_symbols, beam_width, gradient_clip_val
        self.optimizer_groups = OptimizerGroups.of(optimizer_groups)
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1))
        leave_out_of_ddp(self, ["mean", "std"])
        self.losses = nn.ModuleDict({stage: MeanMetric() for stage in STAGES})
        self.errors = nn.ModuleDict(cast(dict[str, nn.Module], {stage: ReadingErrors(max_length) for stage in STAGES}))
        self.confusion = SymbolConfusion(num_symbols)
        self.calibration = BinaryCalibrationError(n_bins=15, validate_args=False)
        self.means = TrainingMeans("loss")

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, known before the first step; a test adds the accuracy of each place."""
        measured = [f"{stage}/{name}" for stage in STAGES for name in MEASURED]
        return [*self.means.logged, *measured, "test/calibration_error"]

    def forward(self, images: Tensor) -> Any:
        """Logits (B, T, num_symbols + 1) of columns or places, for images in [0, 1]; in training a tuple with those of
        auxiliary heads.
        """
        return self.network((images - self.mean) / self.std)

    def read(self, images: Tensor, beam_width: int | None = None) -> list[Reading]:
        """The text of each image (B, C, H, W)."""
        return self.loss.read(self(images), beam_width or self.beam_width)

    # --- training

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._check_columns()
            if self.trainer.gradient_clip_val is None:
                self.trainer.gradient_clip_val = self.gradient_clip_val

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, codes = batch
        found = self(images)
        logits, *auxiliary = found if isinstance(found, tuple) else (found,)
        loss = self._losses(logits, codes).mean()
        self.means.add(loss=loss)
        return loss + AUXILIARY_WEIGHT * sum(self._losses(a, codes).mean() for a in auxiliary)

    def _losses(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Nats for each symbol of each text, (B,)."""
        return self.loss(logits, codes) / (codes != BLANK).sum(1).clamp(min=1)  # type: ignore[no-any-return]

    def _check_columns(self) -> None:
        """Raise UserError where a text of the data has no path of so few columns, of which nothing could be learnt."""
        longest = offered(typed(self.trainer).datamodule, "most_columns")
        if not self.loss.needs_columns or longest is None:
            return
        columns = self.network.columns
        text, needed = longest()
        if columns is None:
            raise UserError(
                "model.loss: CTC reads columns, and this network has a head for each place; use model=crnn."
            )
        if needed > columns:
            raise UserError(
                f"data.width: the text {text!r} needs {needed} columns (its length, and one between equal "
                f"neighbours), but the network makes {columns} of its pictures; set a larger data.width."
            )

    # --- evaluation

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, list[Reading]]:
        """readings: what was read, for the callbacks that show it."""
        return {"readings": self._evaluate("val", batch)}

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, list[Reading]]:
        found = self._evaluate("test", batch)
        right = [
            list(one.codes) == [code for code in row if code] for one, row in zip(found, batch[1].tolist(), strict=True)
        ]
        sure = torch.tensor([one.probability for one in found], device=self.device)
        self.calibration.update(sure.clamp(0, 1), torch.tensor(right, device=self.device).long())
        self.confusion.update([one.codes for one in found], batch[1])
        return {"readings": found}

    def on_test_epoch_start(self) -> None:
        self.confusion.reset()

    def on_validation_epoch_end(self) -> None:
        found = self._measure("val")
        self.log_dict({f"val/{name}": found[name] for name in MEASURED})

    def on_test_epoch_end(self) -> None:
        found = self._measure("test")
        places = {f"place_{i}": value for i, value in enumerate(found.pop("places"), 1) if value == value}
        found |= places | {"calibration_error": self.calibration.compute()}
        self.calibration.reset()
        self.log_dict({f"test/{name}": value.to(self.device, torch.float32) for name, value in found.items()})

    def _evaluate(self, stage: str, batch: tuple[Tensor, Tensor]) -> list[Reading]:
        images, codes = batch
        logits = self(images)
        found = self.loss.read(logits, self.beam_width)
        cast(Metric, self.losses[stage]).update(self._losses(logits, codes))
        cast(Metric, self.errors[stage]).update([one.codes for one in found], codes)
        return found

    def _measure(self, stage: str) -> dict[str, Tensor]:
        loss, errors = cast(Metric, self.losses[stage]), cast(Metric, self.errors[stage])
        found = errors.compute()
        found = {"loss": loss.compute(), "length_error": found.pop("length"), **found}
        loss.reset()
        errors.reset()
        return {name: value.to(self.device, torch.float32) for name, value in found.items()}

    # --- optimization

    def configure_optimizers(self) -> Any:
        return configure_optimizer(self, self.optimizer, self.scheduler, self.optimizer_groups)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self.means, *freezing(self.optimizer_groups)]
