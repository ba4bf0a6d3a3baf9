"""Means of training against a plain sum, in one process, in several, and over a resume in the middle of an epoch."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from lightloom.callbacks.run.rng import KeyedRandomness
from lightloom.core.errors import UserError
from lightloom.data.signals.datamodule import SignalDataModule
from lightloom.engine import checkpoint
from lightloom.modules.training_means import TrainingMeans


class Measured(pl.LightningModule):
    """Measures noise at each step, and something else at every third."""

    def __init__(self, bad_step: int = -1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.means = TrainingMeans("loss", "rare", "never", remedy="mend it")
        self.bad_step = bad_step
        self.seen: list[dict[str, float]] = []

    def training_step(self, batch, batch_idx):
        loss = self.weight.sum() + torch.rand(()) + (float("nan") if self.global_step == self.bad_step else 0)
        self.means.add(loss=loss)
        self.seen.append({"loss": loss.item()})
        if batch_idx % 3 == 0:
            self.means.add(rare=loss**2)
            self.seen[-1]["rare"] = loss.item() ** 2
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def configure_callbacks(self):
        return [self.means]


class Log(Checkpoint):
    """The metrics of each epoch; saves after every step where there is a folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.epochs: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if self.folder and not trainer.fit_loop.epoch_loop._num_ready_batches_reached():
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")

    def on_train_epoch_end(self, trainer, module):
        self.epochs.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def fit(resume: Path | None = None, save: Path | None = None, **options: Any) -> tuple[Measured, list[dict]]:
    sizes = {"train_size": 28, "val_size": 4, "test_size": 4, "batch_size": 4, "eval_batch_size": 4}
    data = SignalDataModule("signals", "signal", 2, 8, **sizes)
    module, log = Measured(**options), Log(save)
    module.save_hyperparameters({"model": {}, "data": {}})
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[KeyedRandomness(0), log],
        plugins=[checkpoint.SafeCheckpointIO()],
        logger=False,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return module, log.epochs


def test_each_mean_is_that_of_its_own_values_in_its_own_epoch():
    module, epochs = fit()
    assert len(epochs) == 2
    for epoch, steps in zip(epochs, (module.seen[:7], module.seen[7:]), strict=True):
        for name, count in {"loss": 7, "rare": 3}.items():
            values = [step[name] for step in steps if name in step]
            assert len(values) == count
            assert epoch[f"train/{name}"] == pytest.approx(sum(values) / count)
        assert set(epoch) == {"train/loss", "train/rare"}  # nothing was added to the third


def test_a_run_resumed_inside_an_epoch_logs_the_same_bits(tmp_path):
    """And saving changes nothing."""
    _, full = fit(save=tmp_path)
    assert fit()[1] == full
    for step, epoch in {1: 0, 4: 0, 9: 1, 13: 1}.items():
        assert fit(resume=tmp_path / f"{step}.ckpt")[1] == full[epoch:], step


def test_a_mean_that_is_not_finite_names_itself():
    with pytest.raises(UserError, match=r"train/loss is nan in epoch 2; mend it\."):
        fit(bad_step=9)


class Processes:
    """TrainingMeans of several processes; gathering looks at all of them."""

    def __init__(self, count: int) -> None:
        self.means = [TrainingMeans("a", "b") for _ in range(count)]
        self.logged: dict[str, float] = {}

    def module(self) -> Any:
        def all_gather(own: torch.Tensor) -> torch.Tensor:
            if len(self.means) == 1:
                return own
            alone = SimpleNamespace(device="cpu", all_gather=lambda x: x)
            return torch.stack([m._of_all(alone)[0] for m in self.means])  # type: ignore[arg-type]

        return SimpleNamespace(device="cpu", all_gather=all_gather, log_dict=self.logged.update)

    def trainer(self, rank: int) -> Any:
        return SimpleNamespace(world_size=len(self.means), global_rank=rank, is_global_zero=rank == 0, current_epoch=0)

    def save(self) -> dict[str, Any]:
        content: dict[str, Any] = {}
        self.means[0].on_save_checkpoint(self.trainer(0), self.module(), content)
        return content

    def load(self, content: dict[str, Any]) -> "Processes":
        for rank, means in enumerate(self.means):
            means.on_load_checkpoint(self.trainer(rank), self.module(), content)
        return self

    def logs(self) -> dict[str, float]:
        self.means[-1].on_train_epoch_end(self.trainer(len(self.means) - 1), self.module())
        return self.logged


def two_processes() -> Processes:
    processes = Processes(2)
    for rank, values in enumerate(([1.0, 2.0, 4.0], [8.0, 16.0])):
        for value in values:
            processes.means[rank].add(a=torch.tensor(value))
    processes.means[1].add(b=torch.tensor(3.0))
    return processes


def test_a_mean_over_processes_weighs_each_value_alike():
    assert two_processes().logs() == {"train/a": 31 / 5, "train/b": 3.0}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_processes_continues_the_sums(count):
    resumed = Processes(count).load(two_processes().save())
    assert resumed.logs() == two_processes().logs()


def test_as_many_processes_each_continue_their_own():
    resumed = Processes(2).load(two_processes().save())
    for old, new in zip(two_processes().means, resumed.means, strict=True):
        assert (old._sums, old._counts) == (new._sums, new._counts)
