"""Which epochs leave a checkpoint, and what is said of a monitor that no epoch logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from interruptions import differences
from torch import Tensor, nn

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint

SCORES = (5.0, 1.0, 4.0, 9.0, 3.0, 2.0, 1.0)


class Scored(pl.LightningModule):
    """Two steps an epoch, whose score is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.save_hyperparameters({"model": {}, "data": {"name": "x"}})

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).square().sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/score", SCORES[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Kept(RunCheckpoint):
    """Notes the epoch of each file that is written."""

    state_key = "RunCheckpoint"

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.written: dict[str, list[int]] = {"best": [], "last": []}
        super().on_train_start(trainer, module)

    def _save(self, trainer: pl.Trainer, path: Path) -> None:
        super()._save(trainer, path)
        self.written[path.stem].append(trainer.current_epoch)


class StopsAt(pl.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or trainer.current_epoch == self.epoch


def fit(
    keeper: RunCheckpoint, *callbacks: pl.Callback, resume: Path | None = None, epochs: int = 7, **options: Any
) -> Any:
    torch.manual_seed(0)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[keeper, *callbacks], num_sanity_val_steps=0,
        plugins=[checkpoint.SafeCheckpointIO()], **quiet, **options,
    )  # fmt: skip
    module = Scored()
    loader = torch.utils.data.DataLoader(torch.ones(2, 1))
    trainer.fit(module, loader, loader, ckpt_path=resume, weights_only=True)
    return module


@pytest.mark.parametrize(
    ("every", "best", "last"),
    [(1, [0, 3], [0, 1, 2, 3, 4, 5, 6]), (2, [1, 3], [1, 3, 5, 6]), (3, [2], [2, 5, 6]), (9, [6], [6])],
)
def test_every_nth_epoch_and_the_last_are_kept(tmp_path, every, best, last):
    keeper = Kept(str(tmp_path), "val/score", "max", every_n_epochs=every)
    fit(keeper)
    assert keeper.written == {"best": best, "last": last}


def test_validations_inside_an_epoch_count_in_these_epochs_only(tmp_path):
    keeper = Kept(str(tmp_path), "val/score", "max", every_n_epochs=2)
    fit(keeper, val_check_interval=1)
    assert keeper.written["best"] == [1, 3]


def test_a_run_that_is_stopped_keeps_its_last_epoch_and_goes_on_exactly(tmp_path):
    """What a stop adds is last.ckpt only, so that the best one is that of the run that was not stopped."""
    whole, keeper = tmp_path / "whole", Kept(str(tmp_path / "part"), "val/score", "max", every_n_epochs=2)
    full = fit(Kept(str(whole), "val/score", "max", every_n_epochs=2))
    fit(keeper, StopsAt(2))
    assert keeper.written == {"best": [1], "last": [1, 2]}
    again = Kept(str(tmp_path / "part"), "val/score", "max", every_n_epochs=2)
    resumed = fit(again, resume=keeper.last)
    assert again.written == {"best": [3], "last": [3, 5, 6]}
    assert not differences(dict(full.state_dict()), dict(resumed.state_dict()))
    files = [checkpoint.load(folder / "best.ckpt") for folder in (whole, tmp_path / "part")]
    assert not differences(files[0]["state_dict"], files[1]["state_dict"])


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    first = Kept(str(tmp_path), "val/score", "max", every_n_epochs=2)
    full = fit(Kept(str(tmp_path / "whole"), "val/score", "max", every_n_epochs=2))
    fit(first, epochs=4)
    resumed = fit(Kept(str(tmp_path), "val/score", "max", every_n_epochs=2), resume=first.last)
    assert not differences(dict(full.state_dict()), dict(resumed.state_dict()))


# --- the monitor


class Announces(pl.Callback):
    logged = ("val/rare",)


def test_a_monitor_that_is_never_logged_ends_the_run_after_an_epoch(tmp_path):
    keeper = Kept(str(tmp_path), "val/scor", "max")
    with pytest.raises(UserError, match=r"monitor=val/scor: the first epoch logged no such .* Did you mean val/score"):
        fit(keeper)
    assert keeper.written == {"best": [], "last": []}


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"check_val_every_n_epoch": 2}])
def test_it_is_looked_at_in_the_first_validated_epoch(tmp_path, options):
    with pytest.raises(UserError, match="monitor=val/scor"):
        fit(RunCheckpoint(str(tmp_path), "val/scor", "max"), **options)
    fit(RunCheckpoint(str(tmp_path), "val/score", "max"), **options)


def test_what_is_announced_or_cannot_be_known_is_waited_for(tmp_path):
    fit(RunCheckpoint(str(tmp_path / "announced"), "val/rare", "max"), Announces(), epochs=1)
    fit(RunCheckpoint(str(tmp_path / "unvalidated"), "val/acc", "max"), epochs=1, limit_val_batches=0)
