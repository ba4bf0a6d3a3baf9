"""When a checkpoint may be written: as Lightning decides it, asked by its public names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lightloom.callbacks.run.checkpoints import ends_epoch, is_between_steps, validation_follows


class Line(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.weight - batch).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Compared(pl.Callback):
    """After each batch: our answers and Lightning's; asks to stop at `stop_at`."""

    def __init__(self, stop_at: int | None) -> None:
        self.stop_at = stop_at
        self.answers: list[tuple[bool, bool]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        loop: Any = trainer.fit_loop.epoch_loop
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.stop_at
        assert ends_epoch(trainer) == loop._num_ready_batches_reached()
        assert is_between_steps(trainer) == (not loop._should_accumulate() and not loop._num_ready_batches_reached())
        if is_between_steps(trainer):
            lightnings = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
            self.answers.append((validation_follows(trainer), lightnings))


class Endless(IterableDataset):
    def __iter__(self) -> Any:
        return iter(torch.ones(7, 1))


BETWEEN_STEPS = ("twice in it", "a share of it", "every second", "across epochs", "accumulated", "stopped")
CASES: dict[str, dict[str, Any]] = {
    "each epoch": {},
    "twice in it": {"val_check_interval": 3},
    "a share of it": {"val_check_interval": 0.4},
    "every second": {"val_check_interval": 2, "check_val_every_n_epoch": 2},
    "across epochs": {"val_check_interval": 5, "check_val_every_n_epoch": None},
    "without": {"limit_val_batches": 0},
    "accumulated": {"accumulate_grad_batches": 2, "val_check_interval": 2},
    "may not stop yet": {"stop_at": 4, "min_epochs": 2},
    "stopped": {"stop_at": 4, "min_epochs": 0},
    "stopped after enough steps": {"stop_at": 4, "min_epochs": 0, "min_steps": 6},
    "endless": {"endless": True, "limit_train_batches": 5, "val_check_interval": 1.0},
}


@pytest.mark.parametrize("case", CASES)
def test_a_validation_follows_where_lightning_says_so(case: str, tmp_path: Path) -> None:
    options = dict(CASES[case])
    compared = Compared(options.pop("stop_at", None))
    data: Any = Endless() if options.pop("endless", False) else torch.ones(7, 1)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=3, callbacks=[compared], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path,
        **options,
    )  # fmt: skip
    trainer.fit(Line(), DataLoader(data, batch_size=None), DataLoader(torch.ones(2, 1), batch_size=None))
    ours, lightnings = zip(*compared.answers, strict=True)
    assert ours == lightnings
    assert any(ours) == case.startswith(BETWEEN_STEPS)
